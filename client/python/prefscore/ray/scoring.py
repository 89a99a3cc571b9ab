# SPDX-License-Identifier: Apache-2.0
"""`score`: a ray.data.Dataset with scores, by actors that ask prefscore servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import ray.data

from ..client import Client
from ..dataset.columns import DEFAULT_COLUMNS, OutputColumns
from ..dataset.job import ClientMaker, Existing, Job, open_client
from ..dataset.run import Run
from ..dataset.summary import DatasetSummary
from ..errors import InvalidArgument
from ..types import ScoringOptions

# An actor mostly waits for servers. Were it a fraction, small nodes would have no whole core left for readers.
_CPUS_PER_ACTOR = 0
# While one actor's batch ends or begins, another's keeps the server busy.
_ACTORS_PER_SERVER = 2


def score(
    dataset: ray.data.Dataset,
    servers: ClientMaker,
    options: ScoringOptions = ScoringOptions(),
    *,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    existing: Existing = "error",
    batch_rows: int = 1000,
    num_actors: int | None = None,
) -> ray.data.Dataset:
    """Adds columns of scores to each row; lazy, as all of Ray Data.

    dataset, options, columns, existing: as of `prefscore.score_dataset`. Rows that cannot be scored are kept with their
        reason: Ray would drop or repeat whole blocks for them.
    servers: addresses that all nodes can reach, or a function that makes a client of them; each actor calls it.
    batch_rows: rows that an actor gets at once.
    num_actors: how many ask the servers. Default: two for each address, or two. Ray starts lost ones anew and repeats
        what they had; more rows are read only as scores are taken.

    The models that the servers have now are those of the whole run: where one has others, it fails. Needs a server at
    once, for that. Raises MissingColumns and InvalidArgument where the dataset knows its columns; else, and
    for what the client raises, its run fails.
    """
    num_actors = resolve_num_actors(servers, num_actors)
    if batch_rows < 1:
        raise InvalidArgument(f"batch_rows is {batch_rows}; it must be at least 1")
    job, _ = make_job(servers, options, columns, existing)
    if (schema := dataset.schema(fetch_if_missing=False)) is not None:
        job.check(schema.names)
    return dataset.map_batches(
        Scorer, fn_constructor_args=(servers, job), batch_size=batch_rows, batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors), num_cpus=_CPUS_PER_ACTOR, udf_modifying_row_count=False,
    )  # fmt: skip


def resolve_num_actors(servers: ClientMaker, num_actors: int | None) -> int:
    """The default, where none is given. Raises InvalidArgument for what is wrong with either."""
    if isinstance(servers, Client):
        raise InvalidArgument("servers: a Client cannot go to actors; give addresses, or a function that makes one")
    if num_actors is None:
        return _ACTORS_PER_SERVER * (1 if callable(servers) or isinstance(servers, str) else len(servers))
    if num_actors < 1:
        raise InvalidArgument(f"num_actors is {num_actors}; it must be at least 1")
    return num_actors


def make_job(
    servers: ClientMaker, options: ScoringOptions, columns: Sequence[str], existing: Existing
) -> tuple[Job, dict[str, str]]:
    """With the digests of the models that the servers have now; and all that the numbers depend on."""
    out = OutputColumns(columns, options, has_errors=True)
    with open_client(servers) as client:
        run = Run(client, options, out, "keep", DatasetSummary())
    job = Job(servers, run.options, out, existing, "keep", None, False, DatasetSummary())
    return job, run.settings() | {"existing": existing}


class Scorer:
    """What an actor runs: a table in, the table with scores out."""

    def __init__(self, servers: ClientMaker, job: Job) -> None:
        self._job = dataclasses.replace(job, client=open_client(servers))

    def __call__(self, table: pa.Table) -> pa.Table:
        job = self._job
        present = table.column_names
        rows = table.select(job.reader(present).columns).to_pylist()
        records = [record for _, record in job.scored(rows, present, len(rows))]
        scores = pa.Table.from_pylist(records, schema=job.columns.arrow_schema)
        out = table.drop_columns(job.replaced(present))
        for name in scores.column_names:
            out = out.append_column(scores.schema.field(name), scores[name])
        return out
