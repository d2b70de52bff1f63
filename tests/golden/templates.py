"""Goldens of chat templates: what transformers renders, for every template of the checkpoints and for small ones.

    python templates.py --checkpoints DIR --out FILE

The file (packed with `zstd -19`, see README.md) has `templates`, by name, and `cases`: `template`, `variables`, and either
`text` or `error` (the exception's type; its words where the template raised it).
"""

import argparse
import json
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template

from tokenizer import pack

# Idefics3-8B's, which no folder here has: SmolVLM's with another beginning.
IDEFICS3 = (
    "<|begin_of_text|>{% for message in messages %}{{message['role'].capitalize()}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# Written for these goldens: what templates of the field do beyond those of the checkpoints.
ALTERNATING = """{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] | trim + '\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set rest = messages -%}
{%- endif -%}
{{- bos_token -}}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Roles must alternate user/assistant/user/assistant/...') -}}
    {%- endif -%}
    {%- set content = message['content'] if message['content'] is string else message['content'][-1]['text'] -%}
    {%- if loop.first -%}
        {%- set content = system ~ content -%}
    {%- endif -%}
    {{- '[' ~ message.role | upper ~ '] ' + content.strip() -}}
    {%- if not loop.last or not add_generation_prompt %}{{ eos_token }}{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '[ASSISTANT] ' }}{% endif -%}
"""

# Small templates over the variables of VALUES.
SNIPPETS = (
    # text and white space
    "plain", "", "\n", "a\n", "a\n\n", "{{ 'x' }}\n", "a\r\nb\rc", "  {% if t %}x{% endif %}\n  y", "x {% if t %} y {% endif %} z",
    "  {%- if t %}  x  {%- endif %}  ", "a\n  {% if t %}\n  b\n  {% endif %}\n c", "{% if t -%}  b  {%- endif %} c",
    "a {#- note -#} b", "a\n  {# note #}\nb", "{# {{ x }} #}c", "  {{ n }}\n  {{- n }}\n{{ n -}}\n z", "{%+ if t %} a{%+ endif +%}\n b",
    " {%+ if t %}a{% endif +%}\nb", "\t {% if t %}\n\t{% endif %}\n", "{% if t %}\n\n{% endif %}", "a{% if t %} {% endif %} {% if t %}b{% endif %}",
    "{%- for x in [1] -%} \u00a0 {{- x -}} \u2003\n{%- endfor -%}|", "}} %} #}", "{ {% if t %}{{% endif %}", "{{ '%}' }}{% if '%}' %}}}{% endif %}",
    # literals and output
    "{{ 1 }} {{ 1.5 }} {{ 2.0 }} {{ 1e3 }} {{ 1e22 }} {{ true }} {{ False }} {{ none }} {{ none is none }}", "{{ 'a\\n\\t\\'\\\"\\\\b' }}",
    "{{ 'caf\\u00e9 \\xe9 \\U0001F600' }}", "{{ 'a' 'b' \"c\" }}", "{{ 'a\\qb' }}", "{{ missing }}|{{ missing.x is defined }}",
    "{{ missing }}|{{ d.nothing }}|{{ d['nothing'] }}|{{ l[9] }}|{{ l[-1] }}|{{ l[-9] }}", "{{ d.a }}{{ d['a'] }}{{ d.b.c }}", "{{ s[0] }}{{ s[-1] }}{{ u[1] }}",
    # operators
    "{{ 1 + 2 * 3 - 4 // 3 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ 6 / 3 }} {{ 2.5 + 1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}",
    "{{ -n }} {{ +n }} {{ - 3 + 2 }} {{ not t }} {{ not not n }}", "{{ 'a' + 'b' ~ 1 ~ none ~ 2.0 }}", "{{ 'ab' * 3 }}|{{ 'ab' * 0 }}|{{ 'x' * -2 }}",
    "{{ [1] + [2, 3] | length }}", "{{ ([1] + [2, 3]) | length }}", "{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 'a' }} {{ [1, 'a'] == [1, 'a'] }} {{ {'a': 1} == {'a': 1} }} {{ none == false }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ 2 >= 2 }} {{ 1 != 2 }}", "{{ 'b' in 'abc' }} {{ 'd' in s }} {{ 2 in l }} {{ 'a' in d }} {{ 'z' not in d }} {{ not 'z' in d }} {{ 1 in missing }}",
    "{{ 0 or 'x' }} {{ 1 and 'y' }} {{ '' or [] or 'z' }} {{ n and '' }}|{{ none or missing }}|", "{{ 'a' if t else 'b' }}{{ 'a' if not t }}|{{ 'x' if f else 'y' if f else 'z' }}",
    "{{ (1, 2)[1] }}{{ (1,) | length }}{{ () | length }}{{ [[1, 2], [3]][0][1] }}", "{{ 3 - 2 - 1 }} {{ 2 * 3 % 4 }} {{ 1 ~ 2 + 3 }} {{ 1 + 2 ~ 3 }}",
    # slices
    "{{ l[1:] | join(',') }} {{ l[:2] | join(',') }} {{ l[::2] | join(',') }} {{ l[::-1] | join(',') }} {{ l[-2:] | join(',') }} {{ l[5:] | join(',') }}",
    "{{ s[1:3] }} {{ s[::-1] }} {{ u[1:] }} {{ u[-1:] }} {{ s[:-1] }} {{ s[10:] }}|{{ s[3:1] }}|{{ s[3:1:-1] }}|{{ s[-100:100:2] }}", "{% for x in l[1:] %}{{ x }}{% endfor %}",
    # tests
    "{{ s is string }} {{ n is string }} {{ d is mapping }} {{ l is mapping }} {{ l is iterable }} {{ n is iterable }} {{ s is iterable }} {{ l is sequence }} {{ d is sequence }}",
    "{{ n is number }} {{ t is number }} {{ n is integer }} {{ t is integer }} {{ 1.5 is float }} {{ t is boolean }} {{ t is true }} {{ f is false }} {{ 1 is true }}",
    "{{ missing is defined }} {{ missing is undefined }} {{ missing is not defined }} {{ n is not none }} {{ none is defined }} {{ d.q is defined }} {{ n is defined and n > 1 }}",
    "{{ n is even }} {{ n is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'a' is equalto 'a' }} {{ 'a' is eq('b') }} {{ 'a' is in ['a'] }} {{ 'a' is ne 'b' }}", "{{ missing is string }} {{ missing is none }} {{ missing is iterable }} {{ missing == none }} {{ missing == '' }}",
    # filters and methods
    "{{ 'hELLO wORLD' | capitalize }} {{ 'Ab' | upper }} {{ 'Ab' | lower }} {{ 'ab cd-ef g1h (x' | title }} {{ 'ab g1h'.title() }} {{ '' | capitalize }}|{{ 5 | upper }}", "[{{ '  x \\n' | trim }}] [{{ 'xxaxx' | trim('x') }}] [{{ '\\u00a0a\\u2003' | trim }}] [{{ 7 | trim }}]",
    "{{ l | length }} {{ s | length }} {{ u | length }} {{ d | length }} {{ d | count }} {{ missing | length }}", "{{ l | join }} {{ l | join(', ') }} {{ [1, none, 'x', 2.5] | join('-') }} {{ messages | map(attribute='role') | join('/') }} {{ messages | join('+', attribute='role') }}",
    "{{ l | first }} {{ l | last }} {{ s | first }} {{ s | last }} {{ [] | first }}|{{ d | first }}", "{{ missing | default('x') }} {{ missing | d(3) }} {{ '' | default('y', true) }} {{ '' | default('y') }}|{{ none | default('z') }} {{ none | default('z', boolean=true) }} {{ missing | default }}|",
    "{{ d | tojson }} {{ l | tojson }} {{ u | tojson }} {{ none | tojson }} {{ 1.0 | tojson }} {{ t | tojson }} {{ 'a\\n\"\\\\/\\t\\x01\\x7f<' | tojson }} {{ [] | tojson }} {{ {} | tojson }}", "{{ d | tojson(indent=2) }}", "{{ {'k': [1, {'z': []}], 'a': {}} | tojson(indent=4) }}",
    "{{ 'aXbXc' | replace('X', '--') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'aaa'.replace('aa', 'b') }} {{ 5 | replace('5', 'five') }}", "{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | join }} {{ messages | selectattr('content') | list | length }}",
    "{{ [0, 1, '', 'a'] | select | join(',') }} {{ [1, 2, 3] | select('odd') | join(',') }} {{ [1, 2, 3] | reject('odd') | join(',') }} {{ ['a', 'b'] | map('upper') | join }}", "{{ l | reverse | join }} {{ s | reverse }} {{ '12' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ 5 | string + 'a' }} {{ s | list | join('.') }} {{ d | list | join }} {{ 'a<b' | safe }}",
    "{% for k, v in d | items %}{{ k }}={{ v | tojson }};{% endfor %}{% for k, v in d.items() %}{{ k }}{% endfor %}{% for k in d.keys() %}{{ k }}{% endfor %}{% for v in d.values() %}{{ loop.index }}{% endfor %}", "{{ d.get('a') }} {{ d.get('q') }} {{ d.get('q', 'x') }} {{ d.get('b').c }}",
    "[{{ '  x '.strip() }}] [{{ '  x '.lstrip() }}] [{{ '  x '.rstrip() }}] [{{ 'xyxaxy'.strip('xy') }}] [{{ 'abc'.rstrip('c') }}]", "{{ 'a b  c'.split() | join('|') }} {{ 'a,b,,c'.split(',') | join('|') }} {{ 'a,b,c'.split(',', 1) | join('|') }} {{ ' a  b c '.split(none, 1) | join('|') }} {{ ''.split(',') | length }} {{ ''.split() | length }} {{ 'x</t>y'.split('</t>')[-1] }}",
    "{{ s.startswith('He') }} {{ s.endswith('x') }} {{ s.startswith(('x', 'H')) }} {{ 'aB'.upper() }}{{ 'aB'.lower() }}{{ 'aB'.capitalize() }}{{ 'a b'.title() }}",
    # statements
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}", "{% for x in [] %}a{% else %}empty{% endfor %}{% for x in l %}b{% else %}empty{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}{% for x in l if x > 9 %}a{% else %}none{% endfor %}",
    "{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }}{% endfor %}{% for (a, b) in [[1, 2]] %}{{ a }}{% endfor %}", "{% for c in 'h\u00e9y' %}[{{ c }}]{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for x in missing %}a{% endfor %}", "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in l %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in range(3) %}{{ x }}{% endfor %}{% for x in range(1, 8, 3) %}{{ x }}{% endfor %}{% for x in range(3, 0, -1) %}{{ x }}{% endfor %}{{ range(0) | list | length }}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(x=1, y='a') %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}", "{% if f %}a{% elif n > 5 %}b{% elif t %}c{% else %}d{% endif %}{% if missing %}e{% endif %}{% if l %}g{% endif %}",
    "{% set x %}a{{ n }}b{% endset %}{{ x }}{{ x | length }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t2 = (1, 2) %}{{ t2[1] }}", "{% if t %}{% set x = 5 %}{% endif %}{{ x }}", "{% set x = 'outer' %}{% for i in [1] %}{{ x }}{% set x = 'inner' %}{{ x }}{% endfor %}{{ x }}", "{% generation %}a{{ n }}{% endgeneration %}", "{% set messages = messages[1:] %}{{ messages | length }}{{ messages[0].role }}",
    "{% for m in messages %}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}", "{{ dict(a=1, b='x') | tojson }}{{ {'a': 1, 'a': 2} | tojson }}", "{{ n }}{{- n -}}{{ n }}",
    "{% for x in l %}{% break %}{% else %}e{% endfor %}{% for x in l %}{% continue %}{% else %}e{% endfor %}{% for x in l %}{% if x > 1 %}{% break %}{% endif %}{% else %}e{% endfor %}", "{{ 'a'[none] }}{{ l['x'] }}|", "{{ 3 * 'ab' }} {{ ' 2.5 ' | int }} {{ ' 7' | int }}",
    # refused by Python or by the template
    "{{ missing.x }}", "{{ d.q.r }}", "{{ missing.x.y }}", "{{ 'a' + 1 }}", "{{ 1 + missing }}", "{{ 1 < 'a' }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ none | length }}", "{{ raise_exception('No ' + s) }}", "{% for x in 5 %}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{{ [1][none:2:0] }}", "{% set d.x = 1 %}", "{{ l[1:2:0] }}",
    "{{ ", "{% if t %}", "{% if %}{% endif %}", "{{ 1 + }}", "{% endfor %}", "{% for x l %}{% endfor %}", "{# open", "{{ 'open }}", "{{ (1 }}", "{{ 1) }}", "{{ a b }}", "{% set = 1 %}", "{{ x | }}", "{{ x is }}", "{% else %}", "{{ $ }}", "{% break %}", "{{ 5x }}", "{% for x in l %}{% endif %}", "{{ f(a=1, 2) }}",
)  # fmt: skip

VALUES = {
    "t": True, "f": False, "n": 4, "s": "Hello", "u": "h\u00e9\U0001f600y", "l": [1, 2, 3], "d": {"a": 1, "b": {"c": "x"}},
    "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}],
}  # fmt: skip

TEXT = {"type": "text", "text": "What is this?"}
IMAGE = {"type": "image"}
VIDEO = {"type": "video"}


def conversations() -> list:
    """Messages as lists of parts, and as plain texts."""

    def message(role: str, *parts) -> dict:
        return {"role": role, "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}

    parts = [
        [message("user", IMAGE, "What is this?")],
        [message("user", "What is this?", IMAGE)],
        [message("user", "First: ", IMAGE, "\nsecond: ", IMAGE, " Compare.")],
        [message("user", IMAGE, IMAGE, "Which one?"), message("assistant", " The left one. "), message("user", "Why?")],
        [message("system", "Be brief."), message("user", IMAGE, "Describe.")],
        [message("system", "Be brief."), message("user", "  Hello\n"), message("assistant", "Hi."), message("user", IMAGE)],
        [message("user", VIDEO, "What happens?")],
        [message("user", "caf\u00e9 \U0001f600 {{ 1 }} {% if %}")],
        [message("user", "")],
        [message("assistant", "I begin.")],
    ]
    texts = [
        [{"role": "user", "content": "Hi"}],
        [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi"}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye\n"}],
        [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Twice"}],
        [{"role": "user", "content": ""}],
    ]
    return parts + texts


def render(template: str, variables: dict) -> dict:
    """The text, or the error: its type, and the words of a template's own refusal."""
    try:
        return {"text": _compile_jinja_template(template).render(**variables)}
    except (jinja2.exceptions.TemplateSyntaxError, SyntaxError):
        return {"error": "syntax"}
    except (jinja2.exceptions.UndefinedError, jinja2.exceptions.TemplateRuntimeError) as error:
        return {"error": type(error).__name__}
    except jinja2.exceptions.TemplateError as error:
        return {"error": "raised", "words": str(error)}
    except (TypeError, ValueError, ZeroDivisionError) as error:
        return {"error": type(error).__name__}


def folder_templates(checkpoints: Path) -> dict:
    """By name of the folder; those that are alike once."""
    found = {}
    for folder in sorted(checkpoints.iterdir()):
        text = None
        for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
            path = folder / name
            if text is None and path.exists():
                content = path.read_text("utf-8")
                text = content if name.endswith("jinja") else json.loads(content).get("chat_template")
        if text is not None and text not in found.values():
            found[folder.name] = text
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    templates = {**folder_templates(args.checkpoints), "idefics3": IDEFICS3, "alternating": ALTERNATING}
    cases = []
    for name, text in templates.items():
        for messages in conversations():
            # Its system message is a text: Jinja would write the Python form of a list.
            if name == "alternating" and messages[0]["role"] == "system" and not isinstance(messages[0]["content"], str):
                continue
            for add_generation_prompt in (True, False):
                variables = {"messages": messages, "add_generation_prompt": add_generation_prompt}
                variables.update(tools=None, documents=None, bos_token="<s>", eos_token="</s>")
                cases.append({"template": name, "variables": variables, **render(text, variables)})
    for extra in ({"controls": {"length": "long", "originality": 0.5}}, {"controls": {}}, {"add_vision_id": True}):
        for name, text in templates.items():
            variables = {"messages": conversations()[2], "add_generation_prompt": True, **extra}
            cases.append({"template": name, "variables": variables, **render(text, variables)})
    snippets = [{"text": text, **{f"expected_{k}": v for k, v in render(text, VALUES).items()}} for text in SNIPPETS]
    out = {"templates": templates, "cases": cases, "values": VALUES, "snippets": snippets}
    pack(args.out, json.dumps(out, ensure_ascii=False, indent=0))


if __name__ == "__main__":
    main()
