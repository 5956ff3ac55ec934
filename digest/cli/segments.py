"""The words of `digest segments`; what they do is in digest.commands.segments."""

from typing import Annotated

import typer

from digest.cli import Json, Who, door, group

app = group("Saved rules that say who gets what.")

What = Annotated[str, typer.Argument(metavar="NAME|RULE", help="A saved segment, or a rule.")]


@app.command()
def add(
    name: str,
    rule: Annotated[str, typer.Argument(help="""Such as: language = "es" and topics has "korea".""")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    by: Who = "editor",
    as_json: Json = False,
) -> None:
    """Save a rule, or change it. The whole language is in docs/segments.md."""
    from digest.commands import segments

    segments.add(door.home, name, rule, description, by=by, as_json=as_json)


@app.command("list")
def show_all(as_json: Json = False) -> None:
    """Every saved rule and how many it matches now."""
    from digest.commands import segments

    segments.show_all(door.home, as_json=as_json)


@app.command()
def show(name: str, as_json: Json = False) -> None:
    """One saved rule, how many it matches now, and what uses it."""
    from digest.commands import segments

    segments.show(door.home, name, as_json=as_json)


@app.command()
def remove(name: str, by: Who = "editor", as_json: Json = False) -> None:
    """Forget a rule; refused while a digest or another segment uses it."""
    from digest.commands import segments

    segments.remove(door.home, name, by=by, as_json=as_json)


@app.command("test")
def try_out(rule: str, as_json: Json = False) -> None:
    """Say whether a rule can be read and how many it matches, or what is wrong and where (exit code 2)."""
    from digest.commands import segments

    segments.test(door.home, rule, as_json=as_json)


@app.command()
def count(what: What, as_json: Json = False) -> None:
    """How many it matches now, and how long the count took."""
    from digest.commands import segments

    segments.count(door.home, what, as_json=as_json)


@app.command()
def sample(
    what: What,
    size: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Some of its members by chance, their addresses masked."""
    from digest.commands import segments

    segments.sample(door.home, what, size=size, as_json=as_json)


@app.command()
def explain(what: What, as_json: Json = False) -> None:
    """Say it in plain words, how many each clause matches, and what uses it."""
    from digest.commands import segments

    segments.explain(door.home, what, as_json=as_json)
