"""The sources that a configuration asks for: what each is, is made of, and holds.

The one entry of the build. A source of the hub is collected once into OUT/cache/sources/<name>,
atomically: a killed run keeps what it has, and the newest revision stays the one it was until
that folder is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from s1_core import cli
from s1_core.errors import UserError
from s1_core.records import Question
from s1_data.config import BuildConfig
from s1_data.sources import copies, files, generated, registry
from s1_data.sources.collection import Collection, mapping
from s1_data.sources.config import HUB_SOURCES, SourceOptions
from s1_data.sources.source import Arrange, Source

CACHE = Path("cache", "sources")


@dataclass(frozen=True, kw_only=True)
class SourcePart:
    """One source as a configuration wants it."""

    name: str
    license: str
    is_published: bool = True
    """False: its text must not stand in a card"""
    origin: str
    """where its rows come from"""
    identify: Callable[[], dict[str, str]]
    mapped: Callable[[], list[Question]]
    """every question, in the order of the dataset; collects what was not"""
    arrange: Arrange = list
    """pure: the order and the share that s1 took"""
    fetch: Callable[[], object] | None = None

    @property
    def identity(self) -> dict[str, str]:
        """Identify the content by hashes, reading no question and asking nobody.

        A source of the hub that was not collected yet has no hash, only its id and revision.
        """
        return self.identify()

    def collect(self) -> None:
        """Fetch what is not on this machine; UserError names the way around it."""
        if self.fetch is not None:
            self.fetch()

    def read(self) -> list[Question]:
        """Return the questions that s1 took of this source, in its order, unfiltered."""
        return self.arrange(self.mapped())


def parts(config: BuildConfig) -> list[SourcePart]:
    """Return the sources in processing order, those of `sources.skip` left out."""
    if config.sources.kind == "bank":
        return [_bank(config)]
    if config.sources.kind == "local":
        return _local(config)
    wanted = registry.sources(config.sources)
    return [_hub(config, source, _options(config, source)) for source in wanted]


def skipped(config: BuildConfig) -> list[str]:
    """Name the sources left out on purpose, in processing order."""
    return registry.in_order(config.sources.skip)


def _bank(config: BuildConfig) -> SourcePart:
    def mapped() -> list[Question]:
        from s1_data import bank

        num = config.sources.num_questions
        return list(cli.progress(bank.generate(num, config.seed, "train"), "questions", total=num))

    return SourcePart(
        name="bank",
        license=registry.license_of("bank"),
        origin="generated",
        identify=generated.parents,
        mapped=mapped,
    )


def _local(config: BuildConfig) -> list[SourcePart]:
    root = files.folder(config.path)
    found = {file.stem: file for file in files.found_in(root / "questions")}
    if not found:
        raise UserError(f"no questions/*.jsonl or *.parquet under {root}")
    if len(found) < len(files.found_in(root / "questions")):
        raise UserError(f"{root}/questions holds one name as .jsonl and as .parquet; keep one")
    unknown = [name for name in config.sources.skip if name not in found]
    if unknown:
        raise UserError(
            f"sources.skip holds {', '.join(unknown)}; {root}/questions has {', '.join(found)}"
        )
    names = [name for name in registry.in_order(list(found)) if name not in config.sources.skip]
    return [_file(config, found[name]) for name in names]


def _file(config: BuildConfig, path: Path) -> SourcePart:
    source = registry.known(path.stem, config.sources.aime_until)
    if source is not None:
        return _copy(source, str(path), {f"questions/{path.name}": path})
    return SourcePart(
        name=path.stem,
        license=registry.license_of(path.stem),
        origin=str(path),
        identify=lambda: {f"questions/{path.name}": files.sha256(path)},
        mapped=lambda: copies.read_records([path]),
    )


def _copy(source: Source, path: str, named: dict[str, Path]) -> SourcePart:
    """Read a source from files; those in our record's columns keep the order they have."""

    def identify() -> dict[str, str]:
        found = {name: files.sha256(file) for name, file in named.items()}
        found |= {f"{source.name}.mapping": mapping(source)}
        return found | ({f"{source.name}.variant": source.variant} if source.variant else {})

    def arrange(rows: Sequence[Question]) -> list[Question]:
        return list(rows) if copies.holds_records(path) else source.arrange(rows)

    return SourcePart(
        name=source.name,
        license=source.license,
        is_published=source.is_published,
        origin=path,
        identify=identify,
        mapped=lambda: copies.read(source, path),
        arrange=arrange,
    )


def _options(config: BuildConfig, source: Source) -> SourceOptions:
    found = getattr(config.sources, source.name, None)
    return found if isinstance(found, SourceOptions) else SourceOptions()


def _hub(config: BuildConfig, source: Source, options: SourceOptions) -> SourcePart:
    if options.path is not None:
        root = Path(options.path)
        named = {
            f"sources/{source.name}/{file.relative_to(root) if root.is_dir() else file.name}": file
            for file in copies.paths(options.path)
        }
        return _copy(source, options.path, named)
    path = f"pass --sources.{source.name}.path FILE (JSONL or Parquet), or "
    remedy = f"{path if source.name in HUB_SOURCES else ''}--sources.skip {source.name}"
    cache = Collection(
        source=source,
        revision=options.revision or source.revision,
        folder=Path(config.out) / CACHE / source.name,
        remedy=remedy,
    )
    return SourcePart(
        name=source.name,
        license=source.license,
        is_published=source.is_published,
        origin=cache.origin,
        identify=lambda: {f"sources/{source.name}": cache.identity},
        mapped=lambda: cache.ensure().read("questions", Question),
        arrange=source.arrange,
        fetch=cache.ensure,
    )
