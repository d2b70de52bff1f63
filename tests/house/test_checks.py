#!/usr/bin/env python3
"""Tests of the house checks themselves, on small made-up inputs."""
import pathlib
import unittest

import check_dependencies
import check_includes
import check_limits
import check_tree
from repository import ROOT

DESIGN = """
| folder | holds | may use |
|---|---|---|
| `include/eyeshot/` | the public API | - |
| `src/base/` | limits | - |
| `src/ledger/` | stages | base |
| `src/tensor/` | shapes | base |
| `src/formats/` | bytes to structs | base, tensor |
| `src/media/` | pictures | base |
| `src/plan/` | costs | energy, models' shapes |
| `src/server/`, `web/` | HTTP | plan |
| `src/cli/` | commands | all of the above |
"""
PUBLIC = {"eyeshot/status.h"}


def includes_of(path: str, text: str) -> list[str]:
    """The findings of the include check in one made-up file."""
    rooms = check_includes.close(check_includes.read_rooms(DESIGN))
    return check_includes.check_file(pathlib.PurePath(path), text, rooms, PUBLIC)


class IncludesTest(unittest.TestCase):
    def test_what_the_table_allows(self):
        for path, header in [("src/tensor/a.cc", "base/x.h"), ("src/formats/a.cc", "tensor/x.h"),
                             ("src/media/a.cc", "ledger/stage.h"), ("src/media/a.cc", "media/x.h"),
                             ("src/cli/a.cc", "plan/x.h"), ("src/base/a.cc", "eyeshot/status.h")]:
            self.assertEqual(includes_of(path, f'#include "{header}"\n#include <vector>\n'), [], path + header)

    def test_what_it_forbids(self):
        for path, header in [("src/base/a.cc", "tensor/x.h"), ("src/tensor/a.cc", "ledger/stage.h"),
                             ("src/media/a.cc", "formats/x.h"), ("src/base/a.cc", "check.h"),
                             ("src/base/a.cc", "eyeshot/nosuch.h"), ("src/nosuch/a.cc", "base/x.h")]:
            self.assertEqual(len(includes_of(path, f'\n#include "{header}"\n')), 1, path + header)
        message = includes_of("src/base/a.cc", '\n#include "tensor/x.h"\n')[0]
        self.assertEqual(message, "src/base/a.cc:2: room 'base' may not use 'tensor' (tensor/x.h); "
                                  "it may use no other room")

    def test_the_guard(self):
        good = "#ifndef EYESHOT_BASE_X_H_\n#define EYESHOT_BASE_X_H_\n#endif\n"
        self.assertEqual(includes_of("src/base/x.h", good), [])
        self.assertEqual(len(includes_of("src/base/y.h", good)), 1)
        self.assertEqual(check_includes.guard_of(pathlib.PurePath("include/eyeshot/c_api.h")), "EYESHOT_C_API_H_")

    def test_public_headers_are_pure(self):
        guard = "#ifndef EYESHOT_A_H_\n#define EYESHOT_A_H_\n"
        self.assertEqual(includes_of("include/eyeshot/a.h", guard + "#include <string>\n#include <stdint.h>\n"
                                     '#include "eyeshot/status.h"\n'), [])
        for include in ("<fmt/format.h>", '"base/check.h"', "<nlohmann/json.hpp>"):
            self.assertEqual(len(includes_of("include/eyeshot/a.h", guard + f"#include {include}\n")), 1, include)

    def test_the_real_design_page_is_understood(self):
        rooms = check_includes.close(check_includes.read_rooms((ROOT / "docs/design.md").read_text(encoding="utf-8")))
        self.assertEqual(rooms["base"], {"base"})
        self.assertEqual(rooms["kernels"], {"kernels", "tensor", "ledger", "base"})
        self.assertEqual(rooms["text"], {"text", "formats", "tensor", "base"} | rooms["text"] & {"ledger"})
        self.assertIn("models", rooms["capi"])
        self.assertNotIn("media", rooms["formats"])
        self.assertIn("server", rooms["cli"])


class LimitsTest(unittest.TestCase):
    def test_reads_values_reasons_and_sections(self):
        sections = check_limits.read_header("// About the file.\n\n// --- Pictures -----\n"
                                            "// Why, in\n// two lines.\n"
                                            "inline constexpr uint64_t kMaxImageBytes = 256ull << 20;\n"
                                            "inline constexpr uint64_t kMaxImagePixels = 178'956'970;\n\n"
                                            "inline constexpr int kTwice = 2 * kMaxImagePixels;  // on its line\n")
        self.assertEqual(sections, [("Pictures", [("kMaxImageBytes", "256 MiB", "Why, in two lines."),
                                                  ("kMaxImagePixels", "178,956,970", "Why, in two lines."),
                                                  ("kTwice", "357,913,940", "on its line")])])

    def test_says_what_it_cannot_read(self):
        with self.assertRaises(ValueError):
            check_limits.read_header("constexpr int kOdd =\n    3;\n")


class TreeTest(unittest.TestCase):
    def test_finds_what_no_file_may_say(self):
        bad = ["see /wor" "k/x", "in share" "d/plan.md", "// TO" "DO: later", "# FIX" "ME"]
        good = ["network/x", "a/wor" "k/", "std::share" "d_ptr<int>", "TO" "DOS", "a share" "d library"]
        self.assertEqual(len(check_tree.check_text("f", "\n".join(bad))), len(bad))
        self.assertEqual(check_tree.check_text("f", "\n".join(good)), [])

    def test_inputs_of_fuzzers_are_told_by_their_names(self):
        self.assertTrue(check_tree.FUZZER_INPUT.fullmatch("9b89f6d57621831cc2b33da9a5f690dc84230de0"))
        for name in ("config.json", "9b89f6d5", "9b89f6d57621831cc2b33da9a5f690dc84230de0.png"):
            self.assertFalse(check_tree.FUZZER_INPUT.fullmatch(name))


class DependenciesTest(unittest.TestCase):
    def test_reads_names_of_cmake(self):
        self.assertEqual(check_dependencies.build_names(
            "find_package(fmt REQUIRED)\nfind_package(PkgConfig REQUIRED)  # find_package(no)\n"
            "pkg_check_modules(SPNG REQUIRED IMPORTED_TARGET spng>=0.7)\nfind_library(GIF_LIBRARY gif REQUIRED)\n"
            "find_path(J nlohmann/json.hpp REQUIRED)\n"), {"fmt", "spng>=0.7", "gif", "nlohmann/json.hpp"})

    def test_reads_packages_of_setup(self):
        self.assertEqual(check_dependencies.setup_packages("packages=(\n  a b\n  c\n)\ncheck_packages=(\n  d\n)\n"),
                         {"a", "b", "c", "d"})


if __name__ == "__main__":
    unittest.main()
