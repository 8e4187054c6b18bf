"""Expectations of our own that Great Expectations learns by importing this module."""

from typing import Any, ClassVar

from great_expectations.compatibility import pydantic
from great_expectations.expectations.core import UnexpectedRowsExpectation


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
