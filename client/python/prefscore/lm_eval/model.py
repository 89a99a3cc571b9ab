# SPDX-License-Identifier: Apache-2.0
"""The harness's model `prefscore`: tokenises as its `hf` model does, and has a server score the ids."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import transformers
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from tqdm import tqdm

from ..client import Client
from ..errors import InvalidArgument
from ..tokenizer_check import check_tokenizer
from ..types import Model, PromptCompletions, PromptResult
from .calls import TokenRequest, answer_all


_log = logging.getLogger(__name__)


@register_model("prefscore")
class PrefscoreLM(TemplateLM):  # type: ignore[misc]  # lm_eval is untyped
    """Log-likelihoods of a model that a prefscore server hosts; no generation.

    servers: "HOST:PORT", several of them (a list, or one text with ";" between), or a Client, whose owner closes it.
    tokenizer: folder or name of the model's tokenizer, for transformers.AutoTokenizer; or one that is loaded.
    model: name of the model on the server. Default: the server's policy.
    max_length: longest input, in tokens, as `hf` counts it: the last scored token is not part of the input. Longer
        contexts lose their start. Default and maximum: the model's max_context_tokens - 1, one less than the default of
        `hf`, since the server counts the last token too.
    add_bos_token: whether texts get the tokenizer's special tokens. Default: as the tokenizer does.
    prefix_token_id: what an empty context becomes. Default: the tokenizer's BOS, or EOS where it has none.
    max_calls: how many calls are under way at once. Default 8.
    cache_policy: whether the server may keep the log-probs, so that the next run of a task reads them. Default false.
    batch_size, max_batch_size, device: the harness sends them; without effect, since the server makes the batches.

    Raises TokenizerMismatch where the server's tokenizer makes other ids than `tokenizer`, NotFound for an unknown
    model, and InvalidArgument for arguments out of range.
    """

    def __init__(
        self,
        servers: str | Sequence[str] | Client,
        tokenizer: str | transformers.PreTrainedTokenizerBase,
        model: str = "",
        max_length: int | None = None,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        max_calls: int = 8,
        cache_policy: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        if max_calls < 1:
            raise InvalidArgument(f"max_calls is {max_calls}; it must be at least 1")
        if isinstance(servers, str):
            servers = [server.strip() for server in servers.split(";")]
        self._client = servers if isinstance(servers, Client) else Client(servers)
        info = self._client.models()
        self._model = info.model(model, "policy")
        self._limits = info.limits
        self._max_length = _check_max_length(max_length, self._model)
        self._max_calls = max_calls
        self._cache_policy = cache_policy
        self._add_bos_token = add_bos_token
        self._prefix_token_id = prefix_token_id
        kwargs = {} if add_bos_token is None else {"add_bos_token": add_bos_token}
        if isinstance(tokenizer, str):
            tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer, **kwargs)
        self.tokenizer: transformers.PreTrainedTokenizerBase = tokenizer
        check_tokenizer(self._client, tokenizer, self._model.name)

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        for token_id in (self._prefix_token_id, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token_id is not None:
                return int(token_id)
        raise InvalidArgument("the tokenizer has neither BOS nor EOS: give prefix_token_id")

    @property
    def max_length(self) -> int:
        return self._max_length

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        rendered = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return str(rendered)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Ids of a text. A text that begins with the prefix token's text gets no special tokens by itself."""
        if add_special_tokens is None:
            add_special_tokens = self._add_bos_token
            if string.startswith(str(self.tokenizer.decode([self.prefix_token_id]))):
                add_special_tokens = False
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return list(self.tokenizer.encode(string, **special))

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-probs of whole texts, nats; texts longer than max_length in windows, each token scored once."""
        windows, owners = [], []
        for index, (text,) in enumerate(request.args for request in requests):
            for window in utils.get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            ):
                windows.append((None, *utils.make_disjoint_window(window)))
                owners.append(index)
        totals = [0.0] * len(requests)
        for owner, (logp, _) in zip(owners, self._loglikelihood_tokens(windows, disable_tqdm=disable_tqdm)):
            totals[owner] += logp
        for request, total in zip(requests, totals):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        tasks = ", ".join(sorted({request.task_name or "?" for request in requests}))
        raise NotImplementedError(
            f"prefscore scores texts and generates none, which {tasks} needs; tasks of output_type multiple_choice, "
            "loglikelihood and loglikelihood_rolling work"
        )

    def get_model_info(self) -> dict[str, Any]:
        """For the harness's results: which weights and which arithmetic the numbers come from."""
        return {
            "model_num_parameters": self._model.num_parameters,
            "model_dtype": self._model.dtype,
            "model_sha": self._model.digest,
            "model_numerics_mode": self._model.numerics_mode,
        }

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        fitted = [self._fit(index, context, continuation) for index, (_, context, continuation) in enumerate(requests)]
        num_cut = sum(len(request.context) < len(context) for request, (_, context, _) in zip(fitted, requests))
        if num_cut > 0:
            _log.warning(
                f"{num_cut} of {len(requests)} requests are longer than max_length ({self.max_length} tokens): their "
                "contexts lose their start"
            )
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        with tqdm(total=len(requests), desc="Running loglikelihood requests", disable=disable_tqdm) as progress:
            for place, answer in answer_all(fitted, self._score, self._limits, self._max_calls):
                answers[place] = (answer.logp, answer.is_greedy)
                texts = requests[place][0]
                if texts is not None:
                    self.cache_hook.add_partial("loglikelihood", texts, answers[place])
                progress.update()
        return answers

    def _fit(self, index: int, context: list[int], continuation: list[int]) -> TokenRequest:
        """The request with as much of its context's end as fits, at least a token."""
        if not context or not continuation:
            empty = "context" if not context else "continuation"
            raise InvalidArgument(f"request {index}: the {empty} has no tokens")
        if len(continuation) > self.max_length:
            raise InvalidArgument(
                f"request {index}: the continuation has {len(continuation)} tokens; max_length is {self.max_length}"
            )
        room = self.max_length + 1 - len(continuation)
        return TokenRequest(tuple(context[-room:]), tuple(continuation))

    def _score(self, prompts: list[PromptCompletions]) -> Sequence[PromptResult]:
        return self._client.score_completions(
            prompts,
            models=[self._model.name],
            profile="ids",
            priority="bulk",
            cache_policy=self._cache_policy,
            return_greedy_match=True,
        )


def _check_max_length(max_length: int | None, model: Model) -> int:
    limit = model.max_context_tokens - 1
    if max_length is None:
        return limit
    if not 1 <= max_length <= limit:
        raise InvalidArgument(
            f"max_length is {max_length}; it must be in [1, {limit}], since model {model.name!r} takes "
            f"{model.max_context_tokens} tokens with the last one"
        )
    return max_length
