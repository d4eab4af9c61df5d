"""The check of every data file: fields, names that point at others, dates, sources."""

import json
import re
from collections.abc import Iterator

from .reader import FILES, derived_models, families, licenses, models, prices, read_rows
from .schema import CatalogModel, Derived


def validate() -> list[str]:
    """Check every line of every file: the faults found, in words; none if all is well.

    Usage: ``assert not validate()``. pydantic checks fields, types and words; by hand are checked
    names that point at other entries, ISO dates, and that every fact has a source.
    """
    from pydantic import TypeAdapter, ValidationError

    faults = []
    for kind in FILES:
        adapter = TypeAdapter(kind)
        for row in read_rows(kind):
            try:
                adapter.validate_json(json.dumps(row))
            except ValidationError as error:
                name = row.get("name") or row.get("key") or row.get("model")
                faults += [f"{kind.__name__} {name}: {e['loc']} {e['msg']}" for e in error.errors()]
    return faults or [*_dangling(), *_unsourced()]


def _dangling() -> Iterator[str]:
    names, keys = {m.name for m in models()}, {f.key for f in families()}
    rows: tuple[CatalogModel | Derived, ...] = (*models(), *derived_models())
    for row in rows:
        if row.family not in keys:
            yield f"{row.name}: the family '{row.family}' is not listed"
        if row.license not in (None, *licenses()):
            yield f"{row.name}: the license '{row.license}' is not listed"
    for m in models():
        if m.superseded_by not in (None, *names):
            yield f"{m.name}: its successor '{m.superseded_by}' is not listed"


def _unsourced() -> Iterator[str]:
    for m in models():
        for fact in ("config", "parameters", "license", "release_date", "languages"):
            if not m.sources.get(fact) and fact not in m.unverified:
                yield f"{m.name}: '{fact}' has no source and is not marked unverified"
    dated = [(p.model, p.as_of, p.as_of) for p in prices()]
    for name, *dates in [*dated, *((m.name, m.as_of, m.release_date) for m in models())]:
        if not all(re.fullmatch(r"20\d\d-\d\d(-\d\d)?", date) for date in dates):
            yield f"{name}: {dates} are not ISO dates"
