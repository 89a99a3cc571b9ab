# SPDX-License-Identifier: Apache-2.0
"""`score_parquet`: Parquet files in, Parquet files out, each row exactly once, whatever dies on the way.

Ray's checkpoints do the work: a file's ids are noted before it is written and confirmed afterwards; rows whose ids are
confirmed are passed over by the next run, and files without confirmation are removed by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc
import ray
import ray.data
import ray.exceptions
from ray.data.checkpoint import CheckpointConfig

from ..dataset.columns import DEFAULT_COLUMNS, ERROR_COLUMNS
from ..dataset.job import ClientMaker, Existing
from ..errors import InvalidArgument, PrefscoreError
from ..types import ScoringOptions
from . import storage
from .scoring import make_job, resolve_num_actors, score

logger = logging.getLogger("prefscore")

# A node that dies while files are listed or actors start ends a run; what is written by then stays.
MAX_RUNS = 5


@dataclass(frozen=True, slots=True)
class ParquetSummary:
    """What `score_parquet` did. num_kept: rows that were done by earlier calls; seconds: of this call."""

    num_rows: int
    num_failed: int
    num_kept: int
    seconds: float


def score_parquet(
    inputs: str | Sequence[str],
    output: str,
    servers: ClientMaker,
    options: ScoringOptions = ScoringOptions(),
    *,
    id_column: str,
    checkpoint: str | None = None,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    existing: Existing = "error",
    part_rows: int = 1000,
    num_actors: int | None = None,
) -> ParquetSummary:
    """Scores Parquet files into the folder `output`. Each row is there exactly once, in no particular order.

    inputs, output, checkpoint: paths or URIs that all nodes can reach: of files or folders; of a folder for the scored
        files; of a folder for what is done. Default of the last: `output` with ".checkpoint" appended.
    id_column: a column whose values, numbers or texts, are unique and not null.
    part_rows: rows of a part: one actor scores it, it is written at once, and scored again if it is lost before.
    The others are as of `score`.

    The same call goes on where an earlier one ended, and does nothing where all is done; only one may run at a time.
    Lost workers and nodes cost the parts that they had. At the end the ids of `output` are compared with those of
    `inputs`.

    Raises what `score` does; FailedPrecondition where the checkpoint was made with other models, options or names of
    inputs, or where `output` is not as it should be. Rows are told apart by their ids: one that is changed, but not its
    id, keeps the scores that it had.
    """
    started_at = time.monotonic()
    num_actors = resolve_num_actors(servers, num_actors)
    inputs = [inputs] if isinstance(inputs, str) else list(inputs)
    if part_rows < 1:
        raise InvalidArgument(f"part_rows is {part_rows}; it must be at least 1")
    if not inputs:
        raise InvalidArgument("inputs is empty; give at least one path")
    expected_ids, present = storage.read_ids(inputs, id_column)
    if checkpoint is None:
        checkpoint = output.rstrip("/") + ".checkpoint"
    done = storage.absolute(checkpoint.rstrip("/") + "/rows")
    job, settings = make_job(servers, options, columns, existing)
    job.check(present)
    storage.begin_or_go_on(checkpoint, output, settings | {"id_column": id_column, "inputs": " ".join(inputs)})
    num_kept = storage.num_rows(done)
    config = CheckpointConfig(id_column, done, delete_checkpoint_on_success=False)

    def run() -> None:
        rows = _read(inputs, part_rows, config)
        scored = score(
            rows, servers, job.options, columns=columns, existing=existing, batch_rows=part_rows, num_actors=num_actors
        )
        scored.write_parquet(storage.absolute(output))

    if num_kept < len(expected_ids):
        for attempt in range(1, MAX_RUNS + 1):
            try:
                run()
                break
            except Exception as error:
                _raise_unless_lost(error)
                if attempt == MAX_RUNS:
                    raise
                logger.warning(
                    "run %d of at most %d was lost, going on from what is written: %s", attempt, MAX_RUNS, error
                )
    storage.check_ids(output, id_column, expected_ids)
    num_failed = storage.num_rows(output, pc.field(ERROR_COLUMNS[0]).is_valid())
    return ParquetSummary(len(expected_ids), num_failed, num_kept, time.monotonic() - started_at)


def _read(inputs: Sequence[str], part_rows: int, config: CheckpointConfig) -> ray.data.Dataset:
    """The rows that are not done, in blocks of about a part."""
    context = ray.data.DataContext.get_current()
    before = context.checkpoint_config, context.raise_original_map_exception
    # A Dataset takes a copy of the context when it is made. Without the second, errors lose their type.
    context.checkpoint_config, context.raise_original_map_exception = config, True
    try:
        rows = ray.data.read_parquet([storage.absolute(path) for path in inputs])
        return rows.repartition(target_num_rows_per_block=part_rows)
    finally:
        context.checkpoint_config, context.raise_original_map_exception = before


def _raise_unless_lost(error: Exception) -> None:
    """Returns for what the cluster did; raises what the client or the server did, or a bug."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, PrefscoreError):
            raise cause from None
    lost = (ray.exceptions.RaySystemError, ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError,
            ray.exceptions.ObjectLostError, ray.exceptions.NodeDiedError, ray.exceptions.RayChannelError,
            ray.exceptions.ActorUnschedulableError, ray.exceptions.TaskUnschedulableError)  # fmt: skip
    if not any(isinstance(cause, lost) for cause in chain):
        raise error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__
