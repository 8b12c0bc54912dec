//! The requirements, one row each, and what a hostile role would write.

use ruff_linter::registry::Rule;

use super::*;

fn source(before: Option<&str>, after: &str) -> Source {
    Source {
        path: "core/a.py".to_owned(),
        before: before.map(str::to_owned),
        after: after.as_bytes().to_vec(),
        first_party: vec!["core".to_owned()],
    }
}

/// `line:rule` of each finding.
fn found(source: Source) -> Vec<String> {
    let report = check(source).unwrap();
    report.findings.iter().map(|finding| format!("{}:{}", finding.line, finding.rule)).collect()
}

fn found_in(code: &str) -> Vec<String> {
    found(source(None, code))
}

const D: &str = "    \"\"\"Do.\"\"\"\n";

#[test]
fn all_rules_exist() {
    for code in lint::RULES.iter().chain(lint::SYNTAX_RULES) {
        assert!(Rule::from_code(code).is_ok(), "{code}");
    }
}

#[test]
fn each_requirement_is_checked() {
    for (code, wanted) in [
        // Type hints, on every function
        (format!("def f(a, *b, **c):\n{D}"), &["1:ANN001", "1:ANN002", "1:ANN003", "1:ANN201"][..]),
        (format!("def _f() :\n{D}"), &["1:ANN202"]),
        (format!("def f() -> None:\n{D}    def g(x):\n    {D}"), &["3:ANN001", "3:ANN202"]),
        (format!("class C:\n    def __init__(self):\n    {D}"), &["2:ANN204"]),
        (format!("class C:\n    @staticmethod\n    def f(x) -> None:\n    {D}"), &["3:ANN001"]),
        (
            format!("from typing import overload\n\n\n@overload\ndef f(x: int) -> int: ...\ndef f(x):\n{D}"),
            &["6:ANN001", "6:ANN201"],
        ),
        (format!("from typing import Any\n\n\ndef f(x: Any) -> Any:\n{D}"), &[]),
        // Docstrings, on every function
        ("def f() -> None:\n    pass\n".to_owned(), &["1:D103"]),
        ("def _f() -> None:\n    pass\n".to_owned(), &["1:D103"]),
        ("def f() -> None:\n    \"\"\" \"\"\"\n".to_owned(), &["1:D103"]),
        ("class _C:\n    def __init__(self) -> None:\n        pass\n".to_owned(), &["2:D107"]),
        ("class C:\n    def __len__(self) -> int:\n        return 1\n".to_owned(), &["2:D105"]),
        ("class C:\n    async def f(self) -> int:\n        return 1\n".to_owned(), &["2:D102"]),
        (
            "from typing import override\n\n\nclass C:\n    @override\n    def f(self) -> int:\n        return 1\n".to_owned(),
            &["6:D102"],
        ),
        (
            "def overload(f: int) -> int:\n    \"\"\"Do.\"\"\"\n    return f\n\n\n@overload\ndef g() -> int:\n    return 1\n"
                .to_owned(),
            &["7:D103"],
        ),
        ("__all__ = []\n\n\ndef f() -> None:\n    pass\n".to_owned(), &["4:D103"]),
        // Exceptions
        ("try:\n    f()\nexcept:\n    pass\n".to_owned(), &["3:E722"]),
        ("try:\n    f()\nexcept Exception:\n    pass\n".to_owned(), &["3:BLE001"]),
        ("try:\n    f()\nexcept (ValueError, BaseException):\n    pass\n".to_owned(), &["3:BLE001"]),
        ("try:\n    f()\nexcept ValueError:\n    pass\n".to_owned(), &[]),
        // print
        ("print(1)\n".to_owned(), &["1:T201"]),
        ("import builtins\n\nbuiltins.print(1)\n".to_owned(), &["3:T201"]),
        ("from pprint import pprint\n\npprint(1)\n".to_owned(), &["3:T203"]),
        // Numbers
        ("ok = size > 42\n".to_owned(), &["1:PLR2004"]),
        ("SIZE_MAX = 42\nok = size > SIZE_MAX\n".to_owned(), &[]),
        // SQL
        ("q = f\"SELECT * FROM t WHERE id = {x}\"\n".to_owned(), &["1:S608"]),
        ("q = \"SELECT * FROM t WHERE id = \" + x\n".to_owned(), &["1:S608"]),
        ("q = \"SELECT * FROM t WHERE id = %s\"\nc.execute(q, (x,))\n".to_owned(), &[]),
        // Imports
        ("import os\nimport json\n".to_owned(), &["1:I001"]),
        ("import os\nimport core.notes\n".to_owned(), &["1:I001"]),
        ("import os\n\nimport requests\n\nimport core.notes\n".to_owned(), &[]),
        // No Python
        ("def f(:\n".to_owned(), &["1:invalid-syntax"]),
        ("x = (\n".to_owned(), &["2:invalid-syntax"]),
        ("return 1\n".to_owned(), &["1:invalid-syntax"]),
        (String::new(), &[]),
        ("\n".to_owned(), &[]),
    ] {
        let found = found_in(&code);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        if wanted.first().is_some_and(|wanted| wanted.ends_with("invalid-syntax")) {
            assert!(!found.is_empty() && found.iter().all(|found| found.ends_with("invalid-syntax")), "{code}\n{found:?}");
        } else {
            assert_eq!(found, wanted, "{code}");
        }
    }
}

#[test]
fn nothing_in_a_file_switches_a_check_off() {
    for (code, wanted) in [
        ("print(1)  # noqa\n", "T201"),
        ("print(1)  # NOQA: T201\n", "T201"),
        ("# ruff: noqa\nprint(1)\n", "T201"),
        ("# flake8: noqa\nprint(1)\n", "T201"),
        ("# ruff: noqa: T201\nprint(1)\n", "T201"),
        ("# ruff: disable[T201]\nprint(1)\n# ruff: enable[T201]\n", "T201"),
        ("# ruff: file-ignore[T201]\nprint(1)\n", "T201"),
        ("q = f\"SELECT * FROM t WHERE id = {x}\"  # nosec\n", "S608"),
        ("def f(x):  # type: ignore\n    \"\"\"Do.\"\"\"\n", "ANN001"),
        ("def f(x):\n    # type: (int) -> int\n    \"\"\"Do.\"\"\"\n", "ANN001"),
        ("# type: ignore\ndef f(x):\n    \"\"\"Do.\"\"\"\n", "ANN001"),
        ("from typing import no_type_check\n\n\n@no_type_check\ndef f(x):\n    \"\"\"Do.\"\"\"\n", "ANN001"),
        ("# isort: skip_file\nimport os\nimport json\n", "I001"),
        ("# isort:skip_file\nimport os\nimport json\n", "I001"),
        ("# ruff: isort: skip_file\nimport os\nimport json\n", "I001"),
        ("# ruff: isort: off\nimport os\nimport json\n", "I001"),
        ("# isort: off\nimport os\nimport json\n# isort: on\n", "I001"),
        ("import os  # isort: skip\nimport json\n", "I001"),
        ("import os\n# isort: split\nimport json\n", "I001"),
        ("import os  # noqa: I001\nimport json\n", "I001"),
    ] {
        let found = found_in(code);
        assert!(found.iter().any(|found| found.ends_with(wanted)), "{code}\n{found:?}");
    }
}

#[test]
fn only_what_a_change_touches_is_judged() {
    let legacy = "import os\nimport json\n\n\ndef f(a):\n    print(a)\n    b = a\n    return b > 42\n\n\ndef g(a):\n    return a\n\n\nprint(1)\n";
    for (was, becomes, wanted) in [
        // Nothing, and another line end
        ("import os", "import os", &[][..]),
        ("\n", "\r\n", &[]),
        // A line of a function: the function, not the other lines in it
        ("    b = a\n", "    b = a + 1\n", &["5:ANN001", "5:ANN201", "5:D103"]),
        ("b > 42", "b > 43", &["5:ANN001", "5:ANN201", "5:D103", "8:PLR2004"]),
        // Something gone from it
        ("    b = a\n", "", &["5:ANN001", "5:ANN201", "5:D103"]),
        // A line of the imports
        ("import json\n", "import json\nimport abc\n", &["1:I001"]),
        // A line of its own
        ("\n\nprint(1)", "\n\nx = 1\nprint(1)", &[]),
        ("print(1)", "print(2)", &["15:T201"]),
    ] {
        let after = legacy.replace(was, becomes);
        assert_eq!(found(source(Some(legacy), &after)), wanted, "{was:?} becomes {becomes:?}");
    }
    // A docstring that is taken away.
    let good = "def f() -> None:\n    \"\"\"Do.\"\"\"\n    return\n";
    assert_eq!(found(source(Some(good), &good.replace("    \"\"\"Do.\"\"\"\n", ""))), ["1:D103"]);
}

#[test]
fn bytes_are_taken_as_python_takes_them() {
    assert_eq!(found_in("\u{feff}x = 1\r\nprint(1)\r\n"), ["2:T201"]);
    assert_eq!(found_in("if x:\n\tprint(1)\n"), ["2:T201"]);
    assert_eq!(found_in("x = 1\rprint(1)\r"), ["2:T201"]);
    assert_eq!(found_in("x = 1\nprint(1)"), ["2:T201"]);
    let latin = Source { after: b"x = 1\ny = '\xe9'\n".to_vec(), ..source(None, "") };
    assert_eq!(found(latin), ["2:invalid-encoding"]);
    let stub = Source { path: "a.PYI".to_owned(), ..source(None, "def f(x): ...\n") };
    assert_eq!(found(stub), ["1:ANN001", "1:ANN201"]);
}

#[test]
fn python_files_are_told_from_others() {
    for (path, content, python) in [
        ("a.py", "", true),
        ("a/B.PY", "", true),
        ("a.pyi", "", true),
        ("bin/tool", "#!/usr/bin/env python3\n", true),
        ("bin/tool", "#! /usr/bin/Python\r\n", true),
        (".tool", "#!/usr/bin/python3", true),
        ("bin/tool", "#!/bin/sh\n# python\n", false),
        ("bin/tool.sh", "#!/usr/bin/python3\n", false),
        ("a.rs", "print(1)", false),
        ("a.py/readme.md", "", false),
        ("py", "", false),
    ] {
        assert_eq!(is_python(path, content.as_bytes()), python, "{path}");
    }
}

#[test]
fn findings_are_limited_and_counted() {
    let report = check(source(None, &"print(1)\n".repeat(FINDINGS_MAX + 7))).unwrap();
    assert_eq!((report.findings.len(), report.more), (FINDINGS_MAX, 7));
    assert_eq!(found_in(&" ".repeat(SOURCE_BYTES_MAX + 1)), ["1:too-large"]);
}

/// What the demo's task writes.
#[test]
fn the_demo_passes() {
    assert_eq!(found_in(include_str!("../../xtask/demo/change/memory.py")), [""; 0]);
}

#[test]
fn a_long_name_makes_no_long_message() {
    let report = check(source(None, &format!("def f{}(a): pass\n", "x".repeat(100_000)))).unwrap();
    assert!(report.findings.len() == 3 && report.findings.iter().all(|one| one.message.len() <= MESSAGE_BYTES_MAX));
}

/// None of these ends the process, or holds it up; each is refused in one way or the other.
#[test]
fn hostile_files_are_refused() {
    let many = SOURCE_BYTES_MAX / 16;
    let escaped = format!("x: \"{}\" = 1\n", "\\x28".repeat(many));
    for code in [
        "(".repeat(SOURCE_BYTES_MAX),
        format!("{}{}", "(".repeat(many), ")".repeat(many)),
        "[{".repeat(many),
        format!("x = {}1\n", "-".repeat(many)),
        format!("x = {}1\n", "not ".repeat(many)),
        format!("x = {}1\n", "lambda:".repeat(many)),
        format!("x = 1{}\n", "+1".repeat(many)),
        format!("x = 1{}\n", "**1".repeat(many)),
        format!("x = a{}\n", ".a".repeat(many)),
        format!("x = a{}\n", "()".repeat(many)),
        format!("x = {}1\n", "1 if 1 else ".repeat(many)),
        format!("x = {}", "f\"{".repeat(many)),
        format!("x = f\"{{'''{}", "(".repeat(many)),
        format!("x: \"{}\" = 1\n", "(".repeat(many)),
        format!("x: \"{}1\" = 1\n", "-".repeat(many)),
        escaped,
        (0..1000).fold(String::new(), |code, level| format!("{code}{}if 1:\n", " ".repeat(level))),
    ] {
        let start: String = code.chars().take(40).collect();
        assert!(!found_in(&code).is_empty(), "{start}");
    }
}

/// As many findings as fit into a file are judged within the time.
#[test]
fn files_full_of_findings_are_checked_in_time() {
    let parameters: String = (0..40_000).map(|number| format!("a{number},\n")).collect();
    let legacy = format!("def f(\n{parameters}):\n    pass\n\n\n");
    assert_eq!(found(source(Some(&legacy), &format!("{legacy}X = 1\n"))), [""; 0]);
    let functions: String = (0..20_000).map(|number| format!("def f{number}(a): 0\n")).collect();
    assert!(check(source(None, &functions)).unwrap().more > 50_000);
}

/// As deep as it may be, the linter's stack suffices.
#[test]
fn the_deepest_that_is_allowed_fits() {
    for code in [
        format!("x = {}1\n", "-".repeat(1990)),
        format!("x = {}1\n", "lambda:".repeat(990)),
        format!("x = 1{}\n", "+1".repeat(990)),
        format!("x = a{}\n", ".a".repeat(990)),
        format!("x = a{}\n", "()".repeat(990)),
        format!("x = {}1{}\n", "(".repeat(190), ")".repeat(190)),
        format!("x: \"{}1\" = 1\n", "-".repeat(1990)),
    ] {
        let start: String = code.chars().take(40).collect();
        assert!(!found_in(&code).iter().any(|found| found.ends_with("too-deep")), "{start}");
    }
}

/// The linter would need gigabytes for each of these.
#[test]
fn names_that_are_used_and_bound_too_often_are_refused() {
    let annotated = format!("{}{}", "x: \"f\"\n".repeat(16_000), "f=1\n".repeat(8_000));
    let quoted = format!("x: \"\"\"\n[{}]\n\"\"\" = 1\n{}", "f,".repeat(16_000), "f=1\n".repeat(8_000));
    for code in [
        "f=f\n".repeat(16_000),
        "f=f\n".repeat(128_000),
        format!("f=1\n{}{}", "f\n".repeat(32_000), "f=1\n".repeat(8_000)),
        format!("f=1\n{}{}", "f\n".repeat(16_000), "def f():0\n".repeat(8_000)),
        format!("f=1\n{}{}", "f\n".repeat(16_000), "import f\n".repeat(8_000)),
        format!("f=1\n{}{}", "f\n".repeat(16_000), "del f\n".repeat(8_000)),
        format!("f=1\n{}{}", "f\n".repeat(16_000), "for f in():0\n".repeat(8_000)),
        format!("f=1\n{}{}", "f\n".repeat(16_000), "class f:0\n".repeat(8_000)),
        format!("f=1\n{}{}", "f\n".repeat(16_000), "(f:=1)\n".repeat(8_000)),
        "f+=1\n".repeat(16_000),
        annotated,
        quoted,
    ] {
        let start: String = code.chars().rev().take(20).collect();
        assert_eq!(found_in(&code), ["1:too-large"], "{start}");
    }
    // As much of it as a long file has.
    let many = "total = 0\n".repeat(1000) + &"f(total)\n".repeat(20_000);
    assert_eq!(found_in(&many), [""; 0]);
    // The text before is linted too.
    assert_eq!(found(source(Some(&"f=f\n".repeat(128_000)), "x = 1\nprint(x)\n")), ["2:T201"]);
}

#[test]
fn what_a_change_makes_wrong_counts_on_lines_that_stay() {
    let code = "x = 1\n\n\ndef f(a):\n    print(a)\n    return a > 42\n";
    let all = found_in(code);
    assert_eq!(all, ["4:ANN001", "4:ANN201", "4:D103", "5:T201", "6:PLR2004"]);
    // It was a string.
    assert_eq!(found_in(&format!("\"\"\"\n{code}\"\"\"\n")), [""; 0]);
    assert_eq!(found(source(Some(&format!("\"\"\"\n{code}\"\"\"\n")), code)), all);
    // It was another function.
    let fine = "from m import print\n\nprint(1)\n";
    assert_eq!(found_in(fine), [""; 0]);
    assert_eq!(found(source(Some(fine), "\nprint(1)\n")), ["2:T201"]);
    // It was wrong before, wherever it stood.
    assert_eq!(found(source(Some(code), &format!("y = 1\n{code}"))), [""; 0]);
    assert_eq!(found(source(Some(code), &format!("\u{feff}{code}\nz = 1\n"))), [""; 0]);
    assert_eq!(found(source(Some("print(1)\n"), "\u{feff}print(1)\nz = 1\n")), [""; 0]);
    // Nobody knows what was wrong before.
    assert_eq!(found(source(Some(&format!("{code}print 1\n")), code)), all);
}

#[test]
fn no_other_encoding_hides_code() {
    for (code, line) in [
        ("# coding: utf-7\n# +AAo-print(\"ran\")\n", 1),
        ("# coding: unicode_escape\n# \\nprint(\"ran\")\n", 1),
        ("#!/usr/bin/python3\n# -*- coding: latin-1 -*-\n", 2),
        ("\n \t\x0c# vim: set fileencoding=utf-7 :\n", 2),
        ("#\r# coding: utf-7\r", 1),
        ("# a\r coding: utf-7\n", 1),
        ("\u{feff}# coding=UTF-7\n", 1),
        ("# coding: x coding: utf-7\n", 1),
        ("# coding: utf-8x\n", 1),
    ] {
        assert_eq!(found_in(code), [format!("{line}:invalid-encoding")], "{code:?}");
        assert_eq!(found(source(Some(code), code)), [format!("{line}:invalid-encoding")], "{code:?}");
    }
    for code in [
        "# -*- coding: utf-8 -*-\n",
        "# coding=UTF_8\n",
        "\n# vim: set fileencoding=utf8 :\n",
        "# coding: utf-8-sig\n",
        "\n\n# coding: utf-7\n",
        "x = 1  # coding: utf-7\n",
        "# encoding is utf-7\n",
    ] {
        assert_eq!(found_in(code), [""; 0], "{code:?}");
    }
}

#[test]
fn a_raise_excuses_a_handler_only_where_it_is_reached() {
    for (handler, wanted) in [
        ("except:\n    return 2\n    raise", &["4:E722"][..]),
        ("except:\n    raise", &["4:E722"]),
        ("except:\n    if 0:\n        raise", &["4:E722"]),
        ("except Exception:\n    if 0:\n        raise", &["4:BLE001"]),
        ("except Exception:\n    raise\n    x()", &["4:BLE001"]),
        ("except Exception:\n    return 2\n    raise", &["4:BLE001"]),
        ("except (ValueError, BaseException) as e:\n    if 0:\n        raise e", &["4:BLE001"]),
        ("except Exception:\n    x.exception()\n    if 0:\n        raise", &["4:BLE001"]),
        ("except Exception:\n    x()\n    raise", &[]),
        ("except Exception as e:\n    raise ValueError from e", &[]),
        ("except Exception:\n    for a in x():\n        break\n    raise", &[]),
        ("except Exception:\n    logging.exception(\"x\")", &[]),
        ("except ValueError:\n    return 2", &[]),
    ] {
        let handler = handler.replace('\n', "\n    ");
        let code = format!("def f() -> int:\n{D}    try:\n        x()\n    {handler}\n");
        let wanted: Vec<String> = wanted.iter().map(|wanted| wanted.replace("4:", "5:")).collect();
        let code = if code.contains("logging") { format!("{code}\n\nimport logging\n") } else { code };
        assert_eq!(found_in(&code), wanted, "{code}");
    }
}

#[test]
fn scripts_of_other_interpreters_and_runners_are_python() {
    for (first, python) in [
        ("#!/usr/bin/pypy3", true),
        ("#!/usr/bin/env -S PyPy3.10 -u", true),
        ("#!/usr/bin/env -S python3 -u", true),
        ("#!/usr/bin/env -S uv run --script", true),
        ("#!/usr/bin/env -Suv run", true),
        ("#!/opt/uv run", true),
        ("#!/usr/bin/env bash", false),
        ("#!/usr/bin/env -S luvit", false),
        ("uv run", false),
    ] {
        assert_eq!(is_python("bin/tool", format!("{first}\nprint(1)\n").as_bytes()), python, "{first}");
    }
}
