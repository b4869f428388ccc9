"""What a front end is told when it asks a kernel for completions."""

from __future__ import annotations

from typing import Any

from real_kernel import Kernel


def completions(kernel: Kernel, code: str) -> tuple[str, list[str]]:
    """Return what the kernel would replace, and by what; ``|`` is the cursor."""
    at = code.index("|")
    code = code[:at] + code[at + 1 :]
    content = answer(kernel, kernel.client.complete(code, at))
    return code[content["cursor_start"] : content["cursor_end"]], content["matches"]


def answer(kernel: Kernel, request: str) -> dict[str, Any]:
    reply = kernel.client.get_shell_msg(timeout=60)
    while reply["parent_header"].get("msg_id") != request:
        reply = kernel.client.get_shell_msg(timeout=60)
    assert reply["content"]["status"] == "ok"
    return reply["content"]


def test_a_kernel_completes_options_values_and_templates(kernel: Kernel) -> None:
    kernel.run("value = values = 3\ndef get_weather(city: str) -> str: ...")
    assert completions(kernel, "%%glm -m GLM-4-Air --te|\nHello") == ("--te", ["--temperature"])
    assert completions(kernel, "%%glm -m GLM-4-P|") == ("GLM-4-P", ["GLM-4-Plus"])
    assert completions(kernel, "%%glm -f ma|") == ("ma", ["markdown"])
    assert completions(kernel, "%%glm -T get|") == ("get", ["get_weather"])
    assert completions(kernel, "x = 1\n%glm_config te|") == ("te", ["temperature="])
    assert completions(kernel, "%%glm\nAbout {{ val|") == ("val", ["value", "values"])
    assert completions(kernel, "%%glm\nAbout val|")[1] == []
    assert completions(kernel, "val|")[1] == ["value", "values"]


def test_the_turns_of_a_chat(kernel: Kernel) -> None:
    kernel.run("%%glm\none", "a")
    kernel.run("%%glm -c draft\ntwo", "b")
    kernel.run("%%glm -c draft\nthree", "c")
    assert completions(kernel, "%glm_history --show |")[1] == ["1"]
    assert completions(kernel, "%glm_history -c draft --show |")[1] == ["1", "2"]
    assert completions(kernel, "%%glm -c d|") == ("d", ["draft"])


def test_shift_tab_shows_what_the_magic_does(kernel: Kernel) -> None:
    for code, at in (("%%glm -m GLM-4-Air\nHello", 3), ("%%glm -m GLM-4-Air\nHello", 5), ("x = %glm hello", 7)):
        content = answer(kernel, kernel.client.inspect(code, at))
        assert content["found"]
        assert "Ask a model" in content["data"]["text/plain"]
        assert "-t, --temperature X" in content["data"]["text/plain"]
