"""A Dockerfile as far as it must be understood before it is built: the images that it takes, and the builder it needs.

The syntax is BuildKit's, since that is what people write: here-documents, directives, continuation lines with comments
between them. The engine's first builder knows less, and ignores some of it without a word: the body of a `RUN <<EOT`
is dropped, or taken for instructions.
"""

from __future__ import annotations

import platform as host
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Feature = Literal["heredoc", "mount", "link", "flag", "git", "platform", "frontend"]

_DIRECTIVE = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:\\.|[^"\\])*"|'[^']*'|["'\\])+""")
_HEREDOC = re.compile(r"^\d*<<(-?)(\"[^\"<]+\"|'[^'<]+'|[^\s\"'<]+)$")
_ARG = re.compile(r"^([A-Za-z_]\w*)(?:=(.*))?$", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))")
_OFFICIAL = re.compile(r"^(?:docker\.io/)?docker/dockerfile(?::(?P<tag>[\w.-]+))?$")
_GIT = re.compile(r"^(?:git@|git://|ssh://|https?://[^\s#]+\.git(?:#|\?|$))")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_PLATFORM_ARGS = frozenset(
    f"{whose}{what}" for whose in ("TARGET", "BUILD") for what in ("PLATFORM", "OS", "ARCH", "VARIANT")
)
_OLD_FLAGS = frozenset({"--from", "--chown"})
"""Those of COPY and ADD that every builder knows."""
_HAS_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})


@dataclass(frozen=True)
class Need:
    """Something that not every builder can do: where, and in the Dockerfile's words what."""

    line: int
    feature: Feature
    what: str


@dataclass(frozen=True)
class Instruction:
    """One instruction. `line` and `last` count from 1 and take its here-documents in."""

    line: int
    last: int
    keyword: str
    flags: tuple[str, ...]
    words: tuple[str, ...]
    heredocs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dockerfile:
    """The instructions in order; `syntax` is the frontend that a directive asks for."""

    instructions: tuple[Instruction, ...]
    syntax: str = ""
    syntax_line: int = 0

    @property
    def has_official_syntax(self) -> bool:
        """Whether the frontend is Docker's own, which BuildKit has built in, too; it may be a newer one."""
        found = _OFFICIAL.match(self.syntax)
        return found is not None and not (found["tag"] or "").endswith("labs")

    def bases(
        self, args: Mapping[str, str], target: str = "", platform: str = "", contexts: Collection[str] = ()
    ) -> tuple[str, ...]:
        """The images that it takes files from, in order, once each: of FROM, COPY --from and RUN --mount.

        Args:
            args: Given build arguments, for those before the first FROM.
            target: The stage that is built; stages after it do not count.
            platform: For which it is built; "" for this host's own.
            contexts: Names of further contexts, which stand for no images.
        """
        known = platform_args(platform)
        stages = {name.lower() for name in contexts}
        found: dict[str, None] = {}
        has_begun = is_last = False
        for each in self.instructions:
            if each.keyword == "FROM":
                if is_last:
                    break
                has_begun = True
                image = _filled(each.words[0], known) if each.words else ""
                name = each.words[2].lower() if len(each.words) > 2 and each.words[1].upper() == "AS" else ""
                _take(image, stages, found)
                stages |= {name} - {""}
                is_last = bool(target) and target.lower() == name
            elif each.keyword == "ARG" and not has_begun:
                for word in each.words:
                    if arg := _ARG.match(word):
                        known[arg[1]] = args.get(arg[1], known.get(arg[1], _filled(_unquoted(arg[2] or ""), known)))
            else:
                for image in _sources(each):
                    if not image.isdecimal():
                        _take(image, stages, found)
        return tuple(found)

    def needs(self, args: Collection[str] = ()) -> tuple[Need, ...]:
        """What not every builder can do, in the file's order; `args` are the names of given build arguments."""
        found = list[Need]()
        if self.syntax and not _OFFICIAL.match(self.syntax):
            found.append(Need(self.syntax_line, "frontend", f"# syntax={self.syntax}"))
        for each in self.instructions:
            found += _needs(each, args)
        return tuple(found)

    def froms(self) -> tuple[int, ...]:
        """The last line of each FROM, counted from 1."""
        return tuple(each.last for each in self.instructions if each.keyword == "FROM")


def read_dockerfile(text: str) -> Dockerfile:
    """Read a Dockerfile's text. What is wrong in it the builder says better."""
    lines = text.removeprefix("\ufeff").splitlines()
    directives = _directives(lines)
    escape = directives.get("escape", ("\\", 0))[0]
    syntax, line = directives.get("syntax", ("", 0))
    return Dockerfile(tuple(_instructions(lines, escape)), syntax.split()[0] if syntax else "", line)


def platform_args(platform: str) -> dict[str, str]:
    """The arguments that BuildKit and buildah give every build."""
    own = f"linux/{_MACHINES.get(host.machine(), host.machine())}"
    found: dict[str, str] = {}
    for whose, name in (("TARGET", platform or own), ("BUILD", own)):
        system, _, machine = name.partition("/")
        machine, _, variant = machine.partition("/")
        values = {"PLATFORM": name, "OS": system, "ARCH": machine, "VARIANT": variant}
        found |= {f"{whose}{what}": value for what, value in values.items()}
    return found


def _directives(lines: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Those at the very top, by name, with the number of their line."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.startswith("#!"):
            continue
        directive = _DIRECTIVE.match(line)
        if directive is None or directive[1].lower() in found:
            break
        found[directive[1].lower()] = (directive[2], number)
    return found


def _instructions(lines: Sequence[str], escape: str) -> Iterator[Instruction]:
    goes_on = re.compile(rf"(?<!{re.escape(escape)}){re.escape(escape)}[ \t]*$")
    at = 0
    while at < len(lines):
        begin, parts = at, list[str]()
        while at < len(lines):
            line = lines[at]
            at += 1
            if line.lstrip().startswith("#") or not line.strip():
                continue  # they may stand between the lines of one instruction, too
            begin = begin if parts else at - 1
            parts.append(goes_on.sub("", line))
            if not goes_on.search(line):
                break
        words = _WORD.findall(" ".join(parts))
        if not words:
            continue
        keyword = words[0].upper()
        heredocs: list[str] = []
        inner = words[1].upper() if keyword == "ONBUILD" and len(words) > 1 else keyword
        for word in words[1:] if inner in _HAS_HEREDOCS else ():
            if mark := _HEREDOC.match(word):
                heredocs.append(word)
                at = _after_heredoc(lines, at, _unquoted(mark[2]), has_tabs=bool(mark[1]))
        count = next((i for i, word in enumerate(words[1:]) if not word.startswith("--")), len(words) - 1)
        yield Instruction(
            begin + 1, at, keyword, tuple(words[1 : 1 + count]), tuple(words[1 + count :]), tuple(heredocs)
        )


def _after_heredoc(lines: Sequence[str], at: int, end: str, *, has_tabs: bool) -> int:
    while at < len(lines):
        line = lines[at]
        at += 1
        if (line.lstrip("\t") if has_tabs else line) == end:
            break
    return at


def _needs(each: Instruction, args: Collection[str]) -> Iterator[Need]:
    if each.keyword == "ONBUILD" and each.words:
        inner = each.words[0].upper()
        count = next((i for i, word in enumerate(each.words[1:]) if not word.startswith("--")), len(each.words) - 1)
        flags, words = each.words[1 : 1 + count], each.words[1 + count :]
        yield from _needs(Instruction(each.line, each.last, inner, flags, words, each.heredocs), args)
        return
    for word in each.heredocs:
        yield Need(each.line, "heredoc", f"{each.keyword} {word}")
    for flag in each.flags:
        name = flag.partition("=")[0]
        if each.keyword == "RUN" or (each.keyword in ("COPY", "ADD") and name not in _OLD_FLAGS):
            features: Mapping[str, Feature] = {"--mount": "mount", "--link": "link"}
            yield Need(each.line, features.get(name, "flag"), f"{each.keyword} {name}")
        elif each.keyword == "FROM":
            yield from (Need(each.line, "platform", f"${arg}") for arg in _platform_args_in(flag, args))
    if each.keyword == "ADD":
        sources = [_unquoted(word) for word in each.words[:-1]]
        yield from (Need(each.line, "git", "ADD of a git repository") for source in sources if _GIT.match(source))
    if each.keyword == "FROM" and each.words:
        yield from (Need(each.line, "platform", f"${arg}") for arg in _platform_args_in(each.words[0], args))
    if each.keyword == "ARG":
        named = {word for word in each.words if word in _PLATFORM_ARGS and word not in args}
        yield from (Need(each.line, "platform", f"ARG {arg}") for arg in sorted(named))


def _platform_args_in(word: str, args: Collection[str]) -> Iterator[str]:
    for hit in _VARIABLE.finditer(word):
        name = hit[1] or hit[3]
        if name in _PLATFORM_ARGS and name not in args and not hit[2]:
            yield name


def _sources(each: Instruction) -> Iterator[str]:
    """Images, stages or contexts that an instruction takes files from."""
    for flag in each.flags:
        name, _, value = flag.partition("=")
        if each.keyword == "COPY" and name == "--from":
            yield _unquoted(value)
        elif each.keyword == "RUN" and name == "--mount":
            yield from (part.removeprefix("from=") for part in _unquoted(value).split(",") if part.startswith("from="))


def _take(image: str, stages: Collection[str], found: dict[str, None]) -> None:
    if image and image.lower() not in stages and image != "scratch" and "$" not in image:
        found[image] = None


def _filled(word: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda hit: known.get(hit[1] or hit[3]) or hit[2] or "", _unquoted(word))


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word
