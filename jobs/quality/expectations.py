"""Expectations of our own that Great Expectations learns by importing this module.

The three over columns ask for one count each. Their parents ask for as many as percentages need, and spend most of a
gate's time on working out which those are.
"""

from typing import Any, ClassVar

from great_expectations.compatibility import pydantic
from great_expectations.core.result_format import ResultFormat
from great_expectations.expectations import core
from great_expectations.expectations.core import UnexpectedRowsExpectation
from great_expectations.expectations.registry import get_metric_kwargs
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validator import ValidationDependencies


class _OneCount:
    """Met when no value of a column is unexpected."""

    map_metric: ClassVar[str]

    def get_validation_dependencies(
        self, execution_engine: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> ValidationDependencies:
        metric = f"{self.map_metric}.unexpected_count"
        wanted = get_metric_kwargs(metric, self.configuration, runtime_configuration)
        configured = MetricConfiguration(metric, wanted["metric_domain_kwargs"], wanted["metric_value_kwargs"])
        return ValidationDependencies({metric: configured}, {"result_format": ResultFormat.BOOLEAN_ONLY})

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        count = metrics[f"{self.map_metric}.unexpected_count"] or 0
        return {"success": count == 0, "result": {"unexpected_count": count}}


class ExpectNoNull(_OneCount, core.ExpectColumnValuesToNotBeNull):
    """Met when a column has no null."""


class ExpectBetween(_OneCount, core.ExpectColumnValuesToBeBetween):
    """Met when every value of a column that is not null lies within bounds."""


class ExpectInSet(_OneCount, core.ExpectColumnValuesToBeInSet):
    """Met when every value of a column that is not null is one of a set."""


class ExpectNoRows(UnexpectedRowsExpectation):
    """Met when a query for rows that break a rule gives none; it counts them and reads none.

    Unlike its parent it may ask several tables without naming the batch.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)

    @pydantic.validator("unexpected_rows_query")
    def _validate_query(cls, query: Any) -> Any:
        return query

    def _validate(self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        count = metrics["unexpected_rows_query.row_count"]
        return {"success": count == 0, "result": {"observed_value": count}}
