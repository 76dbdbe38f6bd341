"""A random Qwen2 model with a byte-level BPE tokenizer, as a model artifact."""

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from s1_core import artifacts, chat, template
from unit.core.test_chat import QWEN_PATTERN

TEXT = "How many r in raspberry? 1:r 2:a So 3. Wait, check. think answer Final Answer: 12\n" * 50
VOCABULARY, CONTEXT = 340, 512
INITIALIZER, PULL = 0.25, 1.3


def build(out: Path, fmt: str = "s1", *, splits_digits: bool = True, **sizes: int) -> Path:
    """Write a model artifact whose random weights end their thinking now and then.

    `sizes` are fields of Qwen2Config that make it another size. One that does not split digits as
    Qwen does is a tokenizer that transformers loads as another one.
    """
    tokenizer = Tokenizer(models.BPE())
    # As Qwen's: transformers loads the tokenizer beside a Qwen2 config as one of these.
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    if not splits_digits:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(chat.SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    stop_ids = [tokenizer.token_to_id(token) for token in (chat.TURN_END, chat.END_OF_TEXT)]
    with artifacts.create(
        out, kind="model", config={"format": fmt, "stop_token_ids": stop_ids}
    ) as draft:
        _weights(tokenizer, stop_ids[0], sizes).save_pretrained(draft.path)
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=chat.TURN_END)
        fast.chat_template = template.chat_template(chat.FORMATS[fmt])
        fast.save_pretrained(draft.path)
    return out


def _weights(tokenizer: Tokenizer, eos: int, sizes: dict[str, int]) -> Qwen2ForCausalLM:
    torch.manual_seed(3)
    small = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT,
    }
    config = Qwen2Config(
        **small | sizes,
        tie_word_embeddings=False,
        initializer_range=INITIALIZER,
        eos_token_id=eos,
        bos_token_id=None,
    )
    model = Qwen2ForCausalLM(config)
    starts = [tokenizer.token_to_id(token) for token in (chat.TURN_START, chat.TURN_END)]
    with torch.no_grad():
        model.lm_head.weight[starts] *= PULL
    return model
