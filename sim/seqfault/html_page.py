"""What makes all HTML pages of seqfault: a template of its own for each, on `templates/page.html`."""

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["page_templates"]


def page_templates() -> Environment:
    """The templates; a page adds the filters and globals that its own uses. A name that a template does not get is an error."""
    return Environment(loader=PackageLoader("seqfault"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
