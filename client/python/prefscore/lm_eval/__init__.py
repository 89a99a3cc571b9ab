# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness on a prefscore server: importing this registers the model `prefscore`.

    python -m prefscore.lm_eval --model prefscore --model_args servers=127.0.0.1:50051,tokenizer=FOLDER --tasks ...
"""

from ..errors import MissingExtra

try:
    import lm_eval.models  # noqa: F401  first, or its own models would be missing from the registry
except ImportError as error:
    raise MissingExtra.of("lm-eval", "lm_eval") from error
try:
    import transformers  # noqa: F401
except ImportError as error:
    raise MissingExtra.of("lm-eval", "transformers") from error

from .model import PrefscoreLM

__all__ = ["PrefscoreLM"]
