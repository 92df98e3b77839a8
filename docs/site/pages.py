"""What the documentation's site has beside the files in docs/: pages of the project's root, and some made of the code.

A hook of MkDocs, run by `make docs`. A link that leads out of docs/ leads to such a page, or stays as code.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from benchbird.cli import COMMANDS, benchbird
from benchbird.definitions import DEFINITIONS
from benchbird.registry import SEGMENTERS, load_registry

ROOT = Path(__file__).parents[2]
COPIES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "results/README.md": "reference/results.md",
}
"""File below the project's root → page of the site."""

_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that docs/ doesn't hold."""
    texts = {page: _relinked((ROOT / source).read_text(), source) for source, page in COPIES.items()}
    texts["reference/commands.md"] = commands_page()
    texts["reference/benchmark.md"] = benchmark_page(
        json.loads((ROOT / "benchmarks" / "benchmark.schema.json").read_text())
    )
    texts["reference/segmenters.md"] = segmenters_page()
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the pages made of what they lead to."""
    address = page.file.src_uri
    return markdown if address in COPIES.values() else _relinked(markdown, f"docs/{address}")


def _relinked(markdown: str, source: str) -> str:
    """The text of `source`, a path below the root, as its page has it."""
    page = COPIES.get(source) or source.removeprefix("docs/")

    def lead(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        to = COPIES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if to is None or not to.endswith(".md"):
            return text if text.startswith("`") or "/" not in text else f"`{text}`"
        return f"[{text}]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(lead, markdown)


def commands_page() -> str:
    """What `--help` prints, of every command."""
    parts = [
        "# Commands",
        "Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 a mistake that is "
        "explained, 2 a wrong use of the command, 3 a bug, 130 after Ctrl-C, 143 after SIGTERM.",
    ]
    with click.Context(benchbird, info_name="benchbird") as context:
        for name, summary in COMMANDS.items():
            command = benchbird.get_command(context, name)
            assert command is not None
            parts += [f"## benchbird {name}", summary, *_help(command, name, context)]
    return "\n\n".join(parts) + "\n"


def _help(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent, max_content_width=84, terminal_width=84) as context:
        if not isinstance(command, click.Group):
            yield f"```text\n{command.get_help(context)}\n```"
            return
        for inner, found in command.commands.items():
            yield f"### benchbird {name} {inner}"
            yield from _help(found, inner, context)


def benchmark_page(schema: Mapping[str, Any]) -> str:
    """Every key of a benchmark's file, from the schema that editors are given."""
    parts = [
        "# Keys of a benchmark",
        "A benchmark is a YAML file: which data, under which protocol, which segmenters, which seeds. An unknown "
        "key, a key that is there twice, or a value of another type is an error with its line. Every key can be set by "
        "`--set KEY=VALUE`, written with dots, as in `--set protocol.epochs=20`. `benchbird new benchmark NAME` writes "
        "one to begin with.",
    ]
    for key, value in schema["properties"].items():
        # A section that may be left out is its own kind or null.
        kinds = [value, *value.get("anyOf", ())]
        name = next((one["$ref"].rpartition("/")[2] for one in kinds if "$ref" in one), "")
        parts.append(f"## `{key}`")
        if name:
            parts += [_sentence(schema["$defs"][name]["description"]), *_keys(schema, name, f"{key}.")]
        else:
            parts.append(_TOP[key])
    return "\n\n".join(parts) + "\n"


_TOP = {
    "name": "Of the benchmark: small letters, digits, `_` and `-`. Its results lie in a folder of that name.",
    "segmenters": "A list; each is a name, or a mapping with the keys `name`, `label` (how the leaderboard calls it) "
    "and `options`. [The segmenters](segmenters.md) and their options.",
    "plugins": "Python files with further segmenters, relative to the benchmark's file; the same as `--plugin FILE`.",
    "seeds": "A list of whole numbers from 0; each segmenter is trained once with each. One seed gets no verdict.",
    "profiles": "Name → any of the keys above but `name`, which replace those of the file under `--profile NAME`. The "
    "profile `cpu` is taken by itself where there is no GPU.",
}


def _keys(schema: Mapping[str, Any], name: str, prefix: str) -> Iterator[str]:
    rows = ["| key | what it is | values | default |", "|---|---|---|---|"]
    nested = []
    for key, value in schema["$defs"][name]["properties"].items():
        inner = value.get("$ref", "").rpartition("/")[2]
        if inner:
            nested.append((inner, f"{prefix}{key}."))
            continue
        cells = (f"`{prefix}{key}`", _sentence(value.get("description", "")), _values(value), _default(value))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    yield "\n".join(rows)
    for inner, inner_prefix in nested:
        yield from _keys(schema, inner, inner_prefix)


def _values(value: Mapping[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_values(one) for one in value["anyOf"]))
    if "$ref" in value:
        return "`{train: N, val: N, test: N}`"
    if "enum" in value or "const" in value:
        return ", ".join(f"`{json.dumps(one).strip(chr(34))}`" for one in value.get("enum", [value.get("const")]))
    low = value.get("minimum", value.get("exclusiveMinimum"))
    high = value.get("maximum", value.get("exclusiveMaximum"))
    kind = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text",
            "array": "list", "object": "mapping", "null": "nothing"}[value["type"]]  # fmt: skip
    if value.get("format") == "path":
        kind = "path"
    if value["type"] not in ("integer", "number") or (low is None and high is None):
        return kind
    more = "above" if "exclusiveMinimum" in value else "from"
    less = "below" if "exclusiveMaximum" in value else "to"
    return " ".join(part for part in (kind, _bound(more, low), _bound(less, high)) if part)


def _bound(word: str, number: float | None) -> str:
    return "" if number is None else f"{word} {number:.3g}" if number > 1e9 else f"{word} {number:g}"


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default in (None, {}, []):
        return "none"
    return f"`{json.dumps(default).strip(chr(34))}`"


def segmenters_page() -> str:
    """The segmenters that come with benchbird, and the scores that a leaderboard can rank by, as `list` tells them."""
    parts = ["# Segmenters and scores", "What `benchbird list segmenters` and `benchbird list metrics` print."]
    parts.append("## Segmenters")
    for offer in load_registry(groups={SEGMENTERS}).segmenters.values():
        if not offer.plugin.provenance.startswith("benchbird "):
            continue
        spec = offer.spec
        parts += [f"### `{spec.name}`", _sentence(spec.summary), f"Source: {spec.source}" if spec.source else ""]
        if spec.options:
            rows = ["| option | what it is | values | default |", "|---|---|---|---|"]
            for name, option in spec.options.items():
                allowed = ", ".join(f"`{one}`" for one in option.choices or ())
                if not allowed:
                    bounds = (("from", option.minimum), ("to", option.maximum))
                    allowed = " ".join(_bound(word, number) for word, number in bounds if number is not None)
                told = _sentence(option.help).replace("|", "\\|")
                rows.append(f"| `{name}` | {told} | {allowed} | `{option.default}` |")
            parts.append("\n".join(rows))
    parts += ["## Scores", "\n".join(
        ["| score | what it is | better |", "|---|---|---|"]
        + [f"| `{one.name}` | {_sentence(one.meaning)} | {'higher' if one.higher_is_better else 'lower'} |"
           for one in DEFINITIONS.values()]
    )]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _sentence(text: str) -> str:
    text = " ".join(text.split()).replace("None", "nothing")
    return text[:1].upper() + text[1:]
