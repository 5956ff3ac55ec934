"""Where the templates are: the publisher's own folder first, then the wheel's copy, then the checkout."""

from pathlib import Path

HERE = Path(__file__).resolve().parent


def template_folders(own: Path | None = None) -> tuple[Path, ...]:
    """Folders to search for templates, in order. An editable install has no packed copy, so the checkout is the last resort."""
    packed, checkout = HERE / "_templates", HERE.parent / "templates"
    ours = packed if packed.is_dir() else checkout
    return (own, ours) if own is not None else (ours,)
