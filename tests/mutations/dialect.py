"""The dialect of YOLOv8 and newer: sizes, the head's keys, other tasks, and what a person is told."""

from __future__ import annotations

from tests.mutations.mutation import cut

_TESTS = "tests/models/config/test_yolov8.py"
_SIZES = "tests/models/config/test_sizes.py"
_PARSER = "tests/models/test_parser.py"
_MISTAKES = f"{_TESTS}::test_a_mistake_is_one_sentence_with_file_line_and_remedy"

MUTATIONS = (
    *cut(
        "models/config/yolov8.py",
        f"{_TESTS}::test_a_file_is_expanded_at_the_size_of_its_name",
        ("return {**sizes[size], SCALE: size}, ()", "return sizes[size], ()"),
    ),
    *cut(
        "models/config/yolov8.py",
        f"{_TESTS}::test_the_key_scale",
        ('if content.get(SCALE) == "":', "if False:"),
    ),
    *cut(
        "models/config/yolov8.py",
        f"{_TESTS}::test_a_family_of_yolov5s_dialect_takes_it_too",
        ("(has_anchor_free_head(content) and not isinstance(first, dict))", "has_anchor_free_head(content)"),
    ),
    *cut(
        "models/config/yolov8.py",
        f"{_TESTS}::test_a_checkpoints_configuration_is_a_mapping_with_the_same_keys",
        ('_WITHOUT_EFFECT = ("yaml_file", ', "_WITHOUT_EFFECT = ("),
        ('{"ch": next(iter(given.values()))} if given else {}', "{}"),
    ),
    *cut(
        "models/config/yolov8.py",
        _MISTAKES,
        ("if key in content:", "if False:"),
        ("if len(set(given.values())) > 1:", "if False:"),
    ),
    *cut(
        "models/config/heads.py",
        f"{_TESTS}::test_newer_blocks_mean_the_newer_class_branch_unless_the_file_says_so",
        ('{"C3k2", "A2C2f", "C2fCIB"}', '{"C3k2", "A2C2f"}'),
        ("{**defaults, **given, **keywords}", "{**given, **defaults, **keywords}"),
    ),
    *cut(
        "models/config/heads.py",
        f"{_TESTS}::test_a_keyword_in_the_row_says_the_same",
        ("{**defaults, **given, **keywords}", "{**keywords, **defaults, **given}"),
    ),
    *cut(
        "models/config/heads.py",
        f"{_TESTS}::test_yolov5s_dialect_takes_a_head_without_anchors",
        ('kept.pop("anchors", None)', "pass"),
        ('if document.content.get("anchors") is None:', "if True:"),
    ),
    *cut(
        "models/config/heads.py",
        f"{_TESTS}::test_keys_of_the_head_beside_another_head",
        ("for key in set(given) & set(keywords):", "for key in ():"),
    ),
    *cut(
        "models/config/tasks.py",
        f"{_TESTS}::test_heads_of_other_tasks_are_refused_before_anything_else",
        ("if name in OTHER_HEADS:", "if False:"),
    ),
    *cut("models/config/tasks.py", _MISTAKES, ('if task != "detect":', "if False:")),
    *cut(
        "models/config/reader.py",
        f"{_TESTS}::test_heads_of_other_tasks_are_refused_before_anything_else",
        ("    refuse_other_tasks(document)\n", ""),
    ),
    *cut(
        "models/config/reader.py",
        f"{_TESTS}::test_without_a_size_the_first_one_is_taken_which_one_line_says",
        ("(*of_size, *of_head)", "of_head"),
    ),
    *cut(
        "models/config/reader.py",
        f"{_SIZES}::test_known_names",
        ("bool(sizes) and not any(size in sizes for _, size in families_of(file.stem))", "bool(sizes)"),
        ("examples=[names[0] for names in _names_by_file()]", "examples=()"),
    ),
    *cut(
        "models/detector.py",
        f"{_TESTS}::test_without_a_size_the_first_one_is_taken_which_one_line_says",
        ('log.warning("%s", remark)', "pass"),
    ),
    *cut(
        "models/rules.py",
        f"{_PARSER}::test_channels_are_cut_before_the_multiple",
        ("channels = min(channels, self.max_channels)", "pass"),
    ),
    *cut(
        "models/parser.py",
        f"{_PARSER}::test_a_rule_knows_the_size_of_the_model",
        ("scale=config.scale,", "scale=None,"),
    ),
)
