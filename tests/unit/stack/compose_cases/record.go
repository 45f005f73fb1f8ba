// Records anew what Compose's own loader makes of the inputs in cases.json: whether it accepts them, why not, and the
// canonical form. Run in this folder, where a Go toolchain is at hand:
//
//	go run . && git diff cases.json
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
)

const answers = "cases.json"

// Case is one input, and beneath it what Compose answers. Pointers are null where there is nothing.
type Case struct {
	Name        string            `json:"name"`
	Compose     string            `json:"compose"`
	Overlay     *string           `json:"overlay"`
	Environment map[string]string `json:"environment"`
	Dotenv      *string           `json:"dotenv"`
	Files       map[string]string `json:"files"`
	Profiles    []string          `json:"profiles"`
	Accepted    bool              `json:"accepted_by_compose"`
	Refusal     *string           `json:"refusal"`
	Canonical   *string           `json:"canonical"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func write(folder, name, text string) string {
	path := filepath.Join(folder, name)
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, []byte(text), 0o644))
	return path
}

// canonical is the case as `docker compose config` prints it.
func canonical(folder string, one Case) (string, error) {
	for name, text := range one.Files {
		write(folder, name, text)
	}
	if one.Dotenv != nil {
		write(folder, ".env", *one.Dotenv)
	}
	files := []string{write(folder, "c.yaml", one.Compose)}
	if one.Overlay != nil {
		files = append(files, write(folder, "overlay.yaml", *one.Overlay))
	}
	environment := []string{"HOME=" + os.Getenv("HOME")}
	for name, value := range one.Environment {
		environment = append(environment, name+"="+value)
	}
	options, err := cli.NewProjectOptions(files,
		cli.WithWorkingDirectory(folder), cli.WithName("oracle"), cli.WithEnv(environment),
		cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles(one.Profiles))
	if err != nil {
		return "", err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return "", err
	}
	text, err := project.MarshalYAML()
	return string(text), err
}

func main() {
	text, err := os.ReadFile(answers)
	must(err)
	var cases []Case
	must(json.Unmarshal(text, &cases))
	for i := range cases {
		folder, err := os.MkdirTemp("", "compose")
		must(err)
		told, err := canonical(folder, cases[i])
		if err != nil {
			told = "ERR " + err.Error()
		}
		told = strings.NewReplacer(folder, "FOLDER", os.Getenv("HOME"), "HOME").Replace(told)
		cases[i].Accepted, cases[i].Refusal, cases[i].Canonical = err == nil, nil, nil
		if err == nil {
			cases[i].Canonical = &told
		} else {
			cases[i].Refusal = &told
		}
		must(os.RemoveAll(folder))
	}
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	must(encoder.Encode(cases))
	must(os.WriteFile(answers, made.Bytes(), 0o644))
}
