# SPDX-License-Identifier: Apache-2.0
"""On a Ray cluster: `score` adds scores to a ray.data.Dataset, `score_parquet` scores Parquet files to the end."""

from ..errors import MissingExtra

try:
    import ray.data as _ray_data  # noqa: F401
except ImportError:
    raise MissingExtra.of("ray", "ray[data]") from None

from .parquet import ParquetSummary, score_parquet
from .scoring import score

__all__ = ["ParquetSummary", "score", "score_parquet"]
