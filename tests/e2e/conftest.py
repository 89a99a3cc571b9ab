"""The Python stubs, for the end-to-end tests."""
import pytest


@pytest.fixture(scope="session")
def api():
    """The generated Python modules: api.scoring (messages), api.models, api.diagnostics; api.Scoring(channel) and so on."""
    from prefscore.v1 import (diagnostics_pb2, diagnostics_pb2_grpc, models_pb2, models_pb2_grpc, scoring_pb2,
                              scoring_pb2_grpc)

    class Api:
        scoring = scoring_pb2
        models = models_pb2
        diagnostics = diagnostics_pb2
        Scoring = scoring_pb2_grpc.ScoringServiceStub
        Models = models_pb2_grpc.ModelServiceStub
        Diagnostics = diagnostics_pb2_grpc.DiagnosticsServiceStub

        @staticmethod
        def text_pair(row):
            content = lambda text: scoring_pb2.Content(text=text)
            return scoring_pb2.PreferencePair(
                id=row.get("id", ""), prompt=content(row["prompt"]), chosen=content(row["chosen"]),
                rejected=content(row["rejected"]),
            )

        @staticmethod
        def ids_pair(prompt, chosen, rejected, id=""):
            content = lambda ids: scoring_pb2.Content(token_ids=scoring_pb2.TokenIds(ids=ids))
            return scoring_pb2.PreferencePair(
                id=id, prompt=content(prompt), chosen=content(chosen), rejected=content(rejected)
            )

    return Api
