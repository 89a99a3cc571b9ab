// SPDX-License-Identifier: Apache-2.0
#include "server/models/hf_bookkeeping.h"

#include <set>

namespace prefscore {

bool IsBookkeeping(std::string_view field) {
  static const auto* const kFields = new std::set<std::string_view>{
      // What the file is and who made it.
      "architectures", "auto_map", "dtype", "is_llama_config", "max_sequence_length", "model_type", "name_or_path",
      "tokenizer_class", "torch_dtype", "transformers.js_config", "transformers_version", "unsloth_fixed",
      "unsloth_version",
      // Token ids and text handling.
      "bos_token_id", "cls_token_id", "decoder_start_token_id", "eos_token_id", "mask_token_id", "pad_token_id",
      "prefix", "sep_token_id", "unk_token_id",
      // Training and initialisation.
      "attention_dropout", "attn_pdrop", "classifier_dropout", "embd_pdrop", "finetuning_task",
      "gradient_checkpointing", "initializer_range", "pretraining_tp", "problem_type", "resid_pdrop",
      "task_specific_params",
      // Heads for other tasks.
      "id2label", "label2id", "num_labels", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
      "summary_type", "summary_use_proj",
      // How the forward pass is run and what it returns.
      "attn_implementation", "cache_implementation", "chunk_size_feed_forward", "is_decoder", "output_attentions",
      "output_hidden_states", "output_past", "return_dict", "return_dict_in_generate", "torchscript", "use_bfloat16",
      "use_cache", "xla_device",
      // Generation.
      "assistant_confidence_threshold", "assistant_lookbehind", "bad_words_ids", "begin_suppress_tokens",
      "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty",
      "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
      "length_penalty", "max_length", "max_new_tokens", "min_length", "no_repeat_ngram_size", "num_assistant_tokens",
      "num_assistant_tokens_schedule", "num_beam_groups", "num_beams", "num_return_sequences", "output_scores",
      "remove_invalid_values", "repetition_penalty", "suppress_tokens", "target_lookbehind", "temperature", "top_k",
      "top_p", "typical_p"};
  return field.starts_with('_') || kFields->contains(field);
}

}  // namespace prefscore
