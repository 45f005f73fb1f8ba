"""A Dockerfile as far as it must be understood before it is built."""

from __future__ import annotations

import pytest

from chaos.stack.images.dockerfile import Need, platform_args, read_dockerfile


def bases(text: str, args: dict[str, str] | None = None, target: str = "", platform: str = "") -> tuple[str, ...]:
    return read_dockerfile(text).bases(args or {}, target, platform)


def needs(text: str, *args: str) -> list[tuple[int, str]]:
    return [(need.line, need.what) for need in read_dockerfile(text).needs(args)]


def test_bases_are_the_images_that_are_not_own_stages() -> None:
    text = "FROM --platform=linux/amd64 golang:1 AS build\nRUN x\nFROM scratch\nFROM debian:12\nCOPY --from=build a b\n"
    assert bases(text) == ("golang:1", "debian:12")
    assert bases("FROM a AS One\nFROM one\n") == ("a",)


def test_images_that_files_are_copied_from_are_bases_too() -> None:
    text = (
        "FROM a AS one\nCOPY --from=busybox:1 /bin/x /x\nCOPY --from=ONE /y /y\nCOPY --from=0 /z /z\n"
        "RUN --mount=type=bind,from=golang:1,target=/go true\n"
    )
    assert bases(text) == ("a", "busybox:1", "golang:1")


def test_a_further_context_is_no_base() -> None:
    assert read_dockerfile("FROM shared\nCOPY --from=other a b\n").bases({}, contexts=["shared"]) == ("other",)


def test_stages_after_the_target_have_no_bases() -> None:
    assert bases("FROM a AS x\nFROM b AS y\nFROM c AS z\n", target="Y") == ("a", "b")


def test_arguments_before_the_first_from_are_filled_in() -> None:
    text = '# comment\nARG VERSION="15"\nARG PLAIN\nFROM postgres:${VERSION}\nFROM ${PLAIN:-debian}:12\n'
    assert bases(text) == ("postgres:15", "debian:12")
    assert bases(text, {"VERSION": "16", "PLAIN": "ubuntu"}) == ("postgres:16", "ubuntu:12")
    assert bases("ARG A=1\nARG B=x$A\nFROM $B\n") == ("x1",)


def test_the_platforms_own_arguments_choose_a_stage() -> None:
    text = "FROM a AS base-amd64\nFROM b AS base-arm64\nFROM base-${TARGETARCH}\n"
    assert bases(text, platform="linux/arm64/v8") == ("a", "b")
    args = platform_args("linux/arm64/v8")
    assert (args["TARGETARCH"], args["TARGETVARIANT"], args["BUILDVARIANT"]) == ("arm64", "v8", "")


def test_an_instruction_goes_on_over_lines_comments_and_empty_lines() -> None:
    assert bases("FROM \\\n  debian:12 \\\n# why\n\n  AS x\nFROM x\n") == ("debian:12",)


def test_an_escaped_escape_ends_a_line() -> None:
    assert bases("FROM a AS x\nRUN echo \\\\\nFROM b\n") == ("a", "b")


def test_another_escape_makes_lines_go_on() -> None:
    text = "# escape=`\nFROM a `\n  AS x\nRUN dir c:\\\nFROM x\n"
    assert bases(text) == ("a",)
    assert [each.keyword for each in read_dockerfile(text).instructions] == ["FROM", "RUN", "FROM"]


def test_a_directive_counts_at_the_top_alone() -> None:
    assert read_dockerfile("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\n").syntax == "docker/dockerfile:1"
    assert read_dockerfile("# a comment\n# syntax=docker/dockerfile:1\nFROM a\n").syntax == ""
    assert read_dockerfile("\n# syntax=docker/dockerfile:1\nFROM a\n").syntax == ""


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("RUN --mount=type=cache,target=/x make", "RUN --mount"),
        ("RUN --network=none make", "RUN --network"),
        ("run --security=insecure make", "RUN --security"),
        ("COPY --chmod=755 a b", "COPY --chmod"),
        ("COPY --link --from=x a b", "COPY --link"),
        ("ADD --checksum=sha256:00 https://x.example/y /y", "ADD --checksum"),
        ("ADD https://git.example/a/b.git#main /src", "ADD of a git repository"),
        ("ADD git@git.example:a/b.git /src", "ADD of a git repository"),
        ("ARG TARGETARCH", "ARG TARGETARCH"),
        ("ONBUILD RUN --mount=type=ssh true", "RUN --mount"),
        ("COPY <<EOF /etc/x\nRUN no\nEOF", "COPY <<EOF"),
        ("RUN <<-'EOT' bash\n\tFROM no\n\tEOT", "RUN <<-'EOT'"),
        ("RUN 3<<EOT cat\nEOT", "RUN 3<<EOT"),
        ("ONBUILD COPY <<a <<b /\n1\na\n2\nb", "COPY <<a"),
    ],
)
def test_what_not_every_builder_can_do_is_told_with_its_line(line: str, what: str) -> None:
    text = f"FROM a\n\n# comment\n{line}\nRUN true\n"
    assert needs(text)[0] == (4, what)
    assert [each.keyword for each in read_dockerfile(text).instructions] == ["FROM", line.split()[0].upper(), "RUN"]


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1.7\nFROM a\nRUN true\n",
        "FROM --platform=linux/amd64 a\nCOPY --from=a --chown=1:1 b c\n",
        "FROM a\nRUN echo $((1<<2)) && cat <<< x\n",
        'FROM a\nRUN ["sh", "-c", "cat <<EOF"]\nCMD cat <<EOF\n',
        "FROM a\nRUN echo '<<EOF' \"<<EOT\"\n",
        "FROM a\nRUN echo --mount\n",
        "FROM a\nADD https://x.example/y.tar.gz /\n",
        "FROM a\nARG TARGETARCH=amd64\n",
        "ARG ARCH\nFROM a-${ARCH}\n",
    ],
)
def test_what_every_builder_can_do_is_no_need(text: str) -> None:
    assert needs(text) == []


def test_an_argument_of_the_platform_that_is_given_is_no_need() -> None:
    text = "FROM --platform=$BUILDPLATFORM a\nARG TARGETOS TARGETARCH\n"
    assert needs(text) == [(1, "$BUILDPLATFORM"), (2, "ARG TARGETARCH"), (2, "ARG TARGETOS")]
    assert needs(text, "BUILDPLATFORM", "TARGETOS", "TARGETARCH") == []


def test_a_frontend_of_somebody_else_is_a_need_and_dockers_own_is_none() -> None:
    foreign = read_dockerfile("# syntax=example.org/front:1\nFROM a\n")
    assert foreign.needs() == (Need(1, "frontend", "# syntax=example.org/front:1"),)
    assert not foreign.has_official_syntax
    assert read_dockerfile("# syntax=docker/dockerfile:1\nFROM a\n").has_official_syntax
    assert not read_dockerfile("# syntax=docker/dockerfile:1-labs\nFROM a\n").has_official_syntax


def test_the_body_of_a_here_document_is_no_instruction() -> None:
    text = "FROM a\nRUN <<ONE cat <<-TWO\nFROM b\nONE\n\tFROM c\n\tTWO\nFROM d\n"
    assert bases(text) == ("a", "d")
    assert [(each.line, each.last) for each in read_dockerfile(text).instructions] == [(1, 1), (2, 6), (7, 7)]


def test_a_here_document_without_its_end_goes_to_the_end_of_the_file() -> None:
    assert bases("FROM a\nRUN <<EOT\nFROM b\n") == ("a",)


def test_where_each_from_ends_is_known() -> None:
    assert read_dockerfile("FROM a \\\n AS x\nRUN true\nFROM x\n").froms() == (2, 4)
