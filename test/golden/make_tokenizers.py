"""Makes `tokenizers/`: small tokenizers of six kinds, and what transformers makes of texts and chats with them.

    python make_tokenizers.py

Takes no arguments, reads nothing but itself, and overwrites what it makes; a
second run gives the same bytes. README.md says which versions made the files
stored here. The kinds are those of the model families: how text is normalised,
split, merged, put back together and what a chat becomes. Vocabularies are tiny
and trained here; the chat templates are written for this file, with the parts
of the template language that the published ones use.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import json
import random
import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent / "tokenizers"

# --------------------------------------------------------------------------
# Texts

SVGS = [
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="14" fill="red"/></svg>',
    '<svg viewBox="0 0 24 24" stroke-width="1.5">\n  <path d="M3.75 12h16.5m-16.5 3.75H-.5c0-1e-3,.25.25Z"/>\n\t<g/>\n</svg>\n',
    "<svg><style>.a{fill:#1E90FF;opacity:.35}</style><!-- a comment --><text x='4' y='12.25'>Naïve &amp; café</text></svg>",
    '<linearGradient id="g1"><stop offset="0%" stop-color="#ffcc00"/></linearGradient>\r\n<use href="#g1"/>',
    '<polygon points="100,10 40,198 190,78 10,78 160,198"/><![CDATA[ x < y ]]>',
    "<svg   width = '100'\n\n\n   height='100'    ></svg   >  ",
]

TEXTS = [
    "a pelican riding a bicycle", "A red circle, left of 12 blue squares!", "  two spaces before, two after  ",
    "I'll say it's they'RE, we'Ve, don't; ’tis", "year 2024, 1234567890, 3.14159, -1e10, 007", "",
    "line one\nline two\r\nline three\n\n\n\nline seven", "tab\there\t\tand  there   now    stop", " ", "\n", "   \n  \n x",
    "Пеликан едет на велосипеде", "Ο πελεκάνος κάνει ποδήλατο", "自転車に乗るペリカン。", "骑自行车的鹈鹕，和４２只猫", "자전거를 타는 펠리컨",
    "بجعة تركب دراجة ١٢٣", "שקנאי רוכב על אופניים", "साइकिल चलाता पेलिकन", "นกกระทุงขี่จักรยาน", "Bồ nông đi xe đạp",
    "cafe\u0301 \u1112\u1161\u11ab \u0041\u030a\u0323 \u212b",  # not in NFC
    "İstanbul ıI ﬁn ß ſ Ⅷ ² ½ ℵ", "👩🏽\u200d🚀🏳️\u200d🌈🇺🇦 🚲 ≠ 🛴", "𝒳 𐍈 𓀀 \U000e0041", "zero\u200bwidth\u00a0space\u3000wide\ufeffmark\u2028line",
    "a\u0000b\u0007c\u0085d\ufffde", "<|im_start|>user\nhi<|im_end|>", "<|im_ <|im_end <im_end|> |>", "<think>\n\n</think>\n", "<s>a</s> <unk>",
    "<start_of_turn>model\nno<end_of_turn>\n<bos>", "<|begin_of_text|> <|eot_id|>x", "<0x41><0xFF>", "\ufeffmark first", "▁under▁score ▁ __", "ĠĊ looks like bytes Ã©",
    "snake_case camelCase kebab-case $x += y**2; // ok?", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "((((([[[[[{{{{{.....,,,,,;;;;;",
]


def fuzz(count, seed):
    """Strings of letters, digits, spaces and signs from many scripts, in random order."""
    draw = random.Random(seed)
    pieces = list("aeSVG0159 <>/\"'=.,-\n\t\r") + ["  ", "'s", "ll", "é", "e\u0301", "я", "ع", "漢", "ｱ", "한", "ก", "ि", "😀", "\u200d", "\u00a0", "<s>", "<|im_end|>"]
    return ["".join(draw.choices(pieces, k=draw.randint(1, 24))) for _ in range(count)]


def loose(size, seed):
    """Ids as a model may sample them: halves of letters, special tokens, and some that the tokenizer has not."""
    draw = random.Random(seed)
    return [[draw.randrange(size + 4 if n % 3 else 300) for _ in range(draw.randint(1, 16))] for n in range(40)]


CORPUS = SVGS + TEXTS + fuzz(30, 7)

USER = {"role": "user", "content": "Draw a pelican.\n"}
SYSTEM = {"role": "system", "content": " You draw SVG "}
ANSWER = {"role": "assistant", "content": "<think>\nA bird.\n</think>\n\n<svg></svg>"}
CHATS = [[USER], [SYSTEM, USER], [USER, ANSWER, {"role": "user", "content": "Нарисуй 🚲 \"x\" & <y>"}], [SYSTEM, USER, ANSWER, USER]]
PREFILL = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'

# --------------------------------------------------------------------------
# Chat templates

CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\nTools: ' + tools | tojson + '<|im_end|>\\n' }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou draw.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

THINKING = """{%- set ns = namespace(last=messages|length - 1, open=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- if '</think>' in content and loop.index0 < ns.last %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content.strip('\\n') + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

BRIEF = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou draw<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

HEADERS = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- else %}
        {{- raise_exception('no tools here') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

BRACKETS = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

TURNS = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("roles must alternate") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {{ item['text'] | trim if item['type'] == 'text' else '' }}
        {%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
"""

# --------------------------------------------------------------------------
# Kinds

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def special(*contents):
    return [AddedToken(content, special=True, normalized=False) for content in contents]


def plain(*contents):
    return [AddedToken(content, special=False, normalized=False) for content in contents]


def trained(tokenizer, size, first=(), alphabet=()):
    """Merges learnt from some of the texts, so that the others need what was never merged."""
    tokenizer.train_from_iterator((SVGS + TEXTS[:13]) * 2, trainers.BpeTrainer(
        vocab_size=size, show_progress=False, special_tokens=list(first), initial_alphabet=list(alphabet),
    ))
    return tokenizer


def byte_level(normalizer, splits, post, size, added, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, size, alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_tokens(added)
    tokenizer.post_processor = post(tokenizer)
    return tokenizer


def split(digits):
    return [
        pre_tokenizers.Split(Regex(WORDS.replace("DIGITS", digits)), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


def starts_with(bos):
    return lambda tokenizer: processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))],
    )


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def pieces(normalizer, pre_tokenizer, decoder, first, size, added, unk):
    """SentencePiece's BPE as Hugging Face writes it: whole pieces, spaces as U+2581, unknown letters as their bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token=unk, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    trained(tokenizer, size, [*first, *BYTES])
    # The trainer makes special tokens of what comes first; the bytes are to be ordinary pieces.
    stored = json.loads(tokenizer.to_str())
    stored["added_tokens"] = [token for token in stored["added_tokens"] if token["content"] not in BYTES]
    tokenizer = Tokenizer.from_str(json.dumps(stored))
    tokenizer.add_tokens(added)
    tokenizer.post_processor = starts_with(first[2] if first[0] == "<pad>" else first[1])(tokenizer)
    return tokenizer


def fallback(*more):
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *more])


def kinds():
    """Name: (tokenizer, chat template, beginning and end of sequence, whether the template has a file of its own)."""
    chatml = special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    qwen = lambda: byte_level(normalizers.NFC(), split(r"\p{N}"), lambda _: processors.ByteLevel(trim_offsets=False), 520,
                              chatml + plain("<tool_call>", "<think>", "</think>"))
    return {
        "qwen2": (qwen(), CHATML, None, "<|im_end|>", False),
        "qwen3": (qwen(), THINKING, None, "<|im_end|>", True),
        "smollm2": (byte_level(None, [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
                               lambda _: processors.ByteLevel(trim_offsets=True), 500, chatml + special("<repo_name>")),
                    BRIEF, "<|im_start|>", "<|im_end|>", True),
        "llama3": (byte_level(None, split(r"\p{N}{1,3}"), starts_with("<|begin_of_text|>"), 520,
                              special("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
                              ignore_merges=True), HEADERS, "<|begin_of_text|>", "<|eot_id|>", False),
        "llama2": (pieces(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None,
                          fallback(decoders.Strip(" ", 1, 0)), ["<unk>", "<s>", "</s>"], 480, [], "<unk>"),
                   BRACKETS, "<s>", "</s>", False),
        "gemma3_text": (pieces(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", behavior="merged_with_previous", invert=False),
                               fallback(), ["<pad>", "<eos>", "<bos>", "<unk>"], 480,
                               special("<start_of_turn>", "<end_of_turn>") + plain("\n", "\n\n", "\n\n\n", "\t", "▁▁", "▁▁▁", "<table>"), "<unk>"),
                        TURNS, "<bos>", "<end_of_turn>", True),
    }


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=False) + "\n")


def main():
    if HERE.exists():
        shutil.rmtree(HERE)
    HERE.mkdir()
    golden = {"texts": CORPUS, "chats": CHATS, "prefill": PREFILL, "kinds": {}}
    for name, (tokenizer, template, bos, eos, own_file) in kinds().items():
        folder = HERE / name
        folder.mkdir()
        write(folder / "tokenizer.json", json.loads(tokenizer.to_str()))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos,
                  "clean_up_tokenization_spaces": False}
        if own_file:
            (folder / "chat_template.jinja").write_text(template)
        else:
            config["chat_template"] = template
        write(folder / "tokenizer_config.json", config)

        tokens = PreTrainedTokenizerFast.from_pretrained(folder)
        ids = [tokens.encode(text, add_special_tokens=False) for text in CORPUS]
        sampled = loose(len(tokens), 9)
        chats = [tokens.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, enable_thinking=False)
                 for chat in CHATS]
        golden["kinds"][name] = {
            "ids": ids,
            # Only where it is not the text itself
            "decoded": {n: text for n, text in enumerate(tokens.decode(row, skip_special_tokens=True) for row in ids) if text != CORPUS[n]},
            "tokens": [tokens.decode([id], skip_special_tokens=True) for id in range(len(tokens))],
            "sampled": {"ids": sampled, "texts": [tokens.decode(row, skip_special_tokens=True) for row in sampled]},
            "chats": chats,
            "prompts": [tokens.encode(chat + PREFILL, add_special_tokens=False) for chat in chats],
        }
        print(f"{name}: {len(tokens)} tokens, {sum(map(len, ids))} of them over {sum(map(len, CORPUS))} characters")
    write(HERE / "golden.json", golden)


if __name__ == "__main__":
    main()
