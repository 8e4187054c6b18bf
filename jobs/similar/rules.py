"""The thresholds of similar won deals, which analysts tune as dbt vars."""

from dataclasses import dataclass, fields

import yaml

from jobs.errors import RapportError
from jobs.settings import Settings


class SimilarError(RapportError):
    """The weekly step cannot go on; names the setting, week or rows."""


@dataclass(frozen=True)
class Rules:
    """Thresholds by the names of their vars.

    `similarity_bins`: bins of a number. `similar_max_distance`: farthest nearest deal, 0 to 1. `similar_top`: nearest deals
    an open deal. `similar_fallback_count`: latest won deals of a fallback. `similar_min_won`, `similar_min_lost`: training
    deals needed.
    """

    similarity_bins: int = 5
    similar_max_distance: float = 0.5
    similar_top: int = 10
    similar_fallback_count: int = 100
    similar_min_won: int = 30
    similar_min_lost: int = 30

    def __post_init__(self) -> None:
        for name, lowest in (
            ("similarity_bins", 1),
            ("similar_top", 1),
            ("similar_fallback_count", 0),
            ("similar_max_distance", 0),
        ):
            if getattr(self, name) < lowest:
                raise SimilarError(f"the var {name} is {getattr(self, name)}: give at least {lowest}")

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """The vars of the dbt project, as far as `settings.dbt_vars` does not override them."""
        project = yaml.safe_load((settings.dbt_project_dir / "dbt_project.yml").read_text())
        known = {**project.get("vars", {}), **settings.dbt_vars}
        return cls(**{f.name: known[f.name] for f in fields(cls) if f.name in known})
