"""`connfit list`: every registered piece, with its options and the package that brought it."""

from __future__ import annotations

from typing import Annotated

import typer

from connfit.cli.terminal import err_console, out_console


def list_pieces(
    kind: Annotated[
        str | None, typer.Argument(help="Only pieces of this kind, for example cells or baselines.", show_default="all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List everything that can be named in a configuration: cells, rules, baselines, readers, datasets, ..."""
    import msgspec
    from rich.table import Table

    from connfit._registry import registries
    from connfit.errors import one_of

    found = registries()
    if kind is not None:
        # Also as the group of entry points has it: `rules` for learning rules.
        short = {registry.short_name: name for name, registry in found.items()}
        kind = short.get(kind, kind)
        found = {kind: found[one_of("kind", kind, found)]}
    pieces = {
        kind: [
            {"name": name, "label": entry.label, "options": entry.option_defaults(), "package": registry.package(name)}
            for name, entry in registry.items()
        ]
        for kind, registry in found.items()
    }
    if as_json:
        out_console.out(msgspec.json.format(msgspec.json.encode(pieces), indent=2).decode(), highlight=False)
        return
    for kind, rows in pieces.items():
        table = Table("name", "label", "options", "package", title=kind, title_justify="left", box=None)
        for row in rows:
            options = ", ".join(f"{name}={value!r}" for name, value in row["options"].items())
            table.add_row(row["name"], row["label"], options, row["package"])
        out_console.print(table)
    for registry in found.values():
        for name, problem in registry.failures.items():
            err_console.print(f"{name}: {problem}", style="yellow", highlight=False, soft_wrap=True)
