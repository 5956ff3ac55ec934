"""
Edition -> page: templates filled and their CSS put in line, once per variant.

The only file that knows jinja2 and premailer, and it loads them on first use: a worker that fills stored proofs never does.
"""

import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from digest.errors import DigestError, TemplateMissingError
from digest.languages import Words

KEPT_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)


class TemplateError(DigestError):
    """A template is broken; the message names its file and line."""


class Printer:
    """Prints templates from `folders`, the publisher's own first. Which name a template asks for that is not there fails."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folders = folders
        self._environments: dict[str, Any] = {}

    def page(self, name: str, words: Words, context: Mapping[str, object]) -> str:
        """
        A template filled in, as it is written.

        Raises:
            TemplateMissingError: no folder has it; says which were searched and what there is.
            TemplateError: it cannot be read, or asks for a name that is not there.
        """
        import jinja2

        environment = self._environment(words)
        try:
            return str(environment.get_template(name).render(context))
        except jinja2.TemplateNotFound as missing:
            raise TemplateMissingError(self._missing(str(missing.name))) from None
        except jinja2.TemplateSyntaxError as fault:
            raise TemplateError(
                f"{fault.filename or name}, line {fault.lineno}: {fault.message}. Mend it there."
            ) from None
        except jinja2.UndefinedError as fault:
            raise TemplateError(f"{name}: {fault.message}. templates/README.md lists every name.") from None

    def text(self, name: str, words: Words, context: Mapping[str, object]) -> str:
        """A written text part: no blanks at line ends, never two blank lines together. Raises as `page` does."""
        lines: list[str] = []
        for line in self.page(name, words, context).strip().split("\n"):
            kept = line if line == "-- " else line.rstrip()
            if kept or (lines and lines[-1]):
                lines.append(kept)
        return "\n".join(lines) + "\n"

    def mail(self, name: str, words: Words, context: Mapping[str, object]) -> str:
        """A template filled in, with its first style element put in line. Raises as `page` does."""
        return inline(self.page(name, words, context))

    def _environment(self, words: Words) -> Any:
        if words.language not in self._environments:
            import jinja2

            environment = jinja2.Environment(
                loader=jinja2.FileSystemLoader([str(folder) for folder in self.folders]),
                autoescape=jinja2.select_autoescape(disabled_extensions=("txt",), default=True),
                undefined=jinja2.StrictUndefined,
                extensions=["jinja2.ext.i18n"],
                trim_blocks=True,
                lstrip_blocks=True,
                bytecode_cache=_compiled(),
            )
            environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
            self._environments[words.language] = environment
        return self._environments[words.language]

    def _missing(self, name: str) -> str:
        kind = name.partition("/")[0]
        found = {f"{kind}/{path.name}" for folder in self.folders for path in (folder / kind).glob("[!_]*.*")}
        searched = " and ".join(str(folder) for folder in self.folders)
        return f"There is no template {name} in {searched}. There is: {', '.join(sorted(found)) or 'nothing'}."


@cache
def _compiled() -> Any:
    """What templates were compiled to, for all printers and languages of this process; one whose text has changed is compiled anew."""
    import jinja2

    class Compiled(jinja2.BytecodeCache):
        def __init__(self) -> None:
            self.known: dict[str, tuple[str, Any]] = {}

        def load_bytecode(self, bucket: Any) -> None:
            checksum, code = self.known.get(bucket.key, ("", None))
            bucket.code = code if checksum == bucket.checksum else None

        def dump_bytecode(self, bucket: Any) -> None:
            self.known[bucket.key] = (bucket.checksum, bucket.code)

    return Compiled()


def inline(html: str) -> str:
    """
    A mail's CSS put on its elements; a style element marked data-premailer="ignore" stays as it is.

    The options are each against a fault seen in premailer 3.10: it drops !important, replaces an image's width and
    height by those of the CSS, and loads what a page links to.

    Raises:
        TemplateError: the page lost its doctype, its dark colours or an image's size on the way.
    """
    from premailer import Premailer

    inlined = Premailer(
        html,
        strip_important=False,
        disable_basic_attributes=["width", "height", "align", "valign", "bgcolor"],
        allow_network=False,
        disable_validation=True,
        cssutils_logging_level=logging.CRITICAL,
        cache_css_parsing=True,
    ).transform()
    page = _tightened(str(inlined))
    _demand_whole(html, page)
    return page


def _tightened(page: str) -> str:
    """The same page in fewer bytes: no indentation, no classes that no style names, no blanks inside a style."""
    styles = " ".join(KEPT_STYLE.findall(page))
    named = set(re.findall(r"\.([a-zA-Z][\w-]*)", styles))

    def keep(found: re.Match[str]) -> str:
        classes = [one for one in found[1].split() if one in named]
        return f' class="{" ".join(classes)}"' if classes else ""

    page = re.sub(r' class="([^"]*)"', keep, page)
    page = re.sub(r' style="([^"]*)"', lambda found: f' style="{found[1].replace("; ", ";").replace(", ", ",")}"', page)
    return re.sub(r"\n\s+", "\n", page).strip() + "\n"


def _demand_whole(before: str, after: str) -> None:
    if not after.startswith("<!DOCTYPE html>"):
        raise TemplateError("A mail begins with <!DOCTYPE html>, in capitals: write that in the template's first line.")
    if before.count("!important") and not after.count("!important"):
        raise TemplateError('The dark colours were lost: mark their style element data-premailer="ignore".')
    sized = re.compile(r"<img\b[^>]*\swidth=\"?\d+[^>]*>")
    if len(sized.findall(before)) != len(sized.findall(after)):
        raise TemplateError("An image lost its width: give it width and height attributes in pixels.")
