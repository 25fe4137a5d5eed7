"""Sources: what a text means, what lists hold, what servers do."""

from __future__ import annotations

from tests.mutations.mutation import cut

_ENTRIES = "tests/data/media/test_entries.py"
_LISTS = "tests/data/media/test_lists.py"
_ADDRESSES = "tests/data/media/test_addresses.py"
_DOWNLOAD = "tests/data/media/test_download.py"
_CHANNELS = "tests/engine/test_channels.py::test_one_line_before_anything_is_looked_at"
_WRITTEN = "tests/data/coco/test_as_programs_write.py"

MUTATIONS = (
    *cut(
        "data/media/entries.py",
        f"{_ENTRIES}::test_a_line_with_a_hash_that_is_a_file",
        (" and find(line, file.parent, None) is None", ""),
    ),
    *cut(
        "data/media/entries.py",
        f"{_ENTRIES}::test_what_is_there_comes_before_every_other_meaning",
        ("not is_folder(path) and path.suffix.lower() in LIST", "path.suffix.lower() in LIST"),
        ("text.isdecimal() and (path is None or _is_none_to_read(path))", "text.isdecimal()"),
    ),
    *cut(
        "data/media/entries.py",
        f"{_ENTRIES}::test_a_number_is_a_webcam_beside_a_file_that_is_nothing_to_read",
        ("(path is None or _is_none_to_read(path))", "path is None"),
    ),
    *cut(
        "data/media/globs.py",
        f"{_ENTRIES}::test_names_with_the_characters_of_patterns",
        ("    elif exists(base / part):", "    elif False:"),
        (' or fnmatch.filter(names, part.replace("[", "[[]"))', ""),
    ),
    *cut(
        "data/media/opencv.py",
        f"{_ENTRIES}::test_videos_of_any_name_are_read",
        ("    path = path.absolute()\n", ""),
    ),
    *cut(
        "data/media/sources.py",
        f"{_ENTRIES}::test_whatever_a_file_does_takes_no_other_along",
        ("        except Exception as error:\n", "        except DataError as error:\n"),
    ),
    *cut(
        "data/media/lists.py",
        f"{_LISTS}::test_other_encodings_and_what_is_no_text",
        ("content.startswith(_UTF16)", "False"),
        ('b"\\0" in content', "False"),
        ("if _is_broken(line) and", "if False and"),
    ),
    *cut(
        "data/media/addresses.py",
        f"{_ADDRESSES}::test_passwords_are_left_out",
        ("network.rindex", "network.index"),
        ('_SECRET.sub(r"\\1***", rest)', "rest"),
    ),
    *cut(
        "data/media/download.py",
        f"{_DOWNLOAD}::test_one_that_is_too_large",
        ("len(content) > most_bytes", "False"),
    ),
    *cut(
        "data/media/download.py",
        f"{_DOWNLOAD}::test_what_servers_do",
        ("                _require_success(response)\n", ""),
    ),
    *cut(
        "data/media/download.py",
        f"{_DOWNLOAD}::test_the_packages_say_nothing_of_their_own",
        ('    logging.getLogger("urllib3").setLevel(logging.CRITICAL)\n', ""),
    ),
    *cut(
        "data/media/sources.py",
        f"{_DOWNLOAD}::test_a_video_that_the_server_refuses_names_the_reason",
        ("refused = refusal(entry.address)", 'refused = ""'),
    ),
    *cut(
        "data/coco/names.py",
        f"{_WRITTEN}::test_file_names_of_windows",
        ('slashed = name.replace("\\\\", "/")', "slashed = name"),
    ),
    *cut(
        "data/coco/source.py",
        f"{_WRITTEN}::test_two_images_that_are_one_file_by_way_of_backslashes",
        (
            "located(parse_coco(content, self.file, legacy=legacy), self.images, self.file)",
            "parse_coco(content, self.file)",
        ),
    ),
    *cut(
        "data/formats/base.py",
        f"{_WRITTEN}::test_paths_in_a_data_set_yaml",
        ("(find(path, base) or expanded(path))", "expanded(path)"),
    ),
    *cut(
        "engine/training/setup.py",
        _CHANNELS,
        ('        require_colour(network.ch, network.locate_key("ch"))\n', "        pass\n"),
        ('        require_colour(network.get("ch", CHANNELS), options.weights)\n', "        pass\n"),
    ),
    *cut(
        "engine/backends/torch_backend.py",
        _CHANNELS,
        ("        require_colour(detector.in_channels, cfg or str(weights))\n", ""),
    ),
    *cut(
        "engine/training/loop.py",
        "tests/scripts/test_train_script.py::test_a_run_leaves_everything_behind",
        ("        _look_at_data(training)\n", ""),
    ),
    *cut(
        "engine/report/labels.py",
        "tests/engine/report/test_labels.py::test_it_is_drawn_beside_anchors_and_strides",
        ("network = Network(imgsz, strides, anchors if len(anchors) else None)", "network = Network(imgsz)"),
    ),
    *cut(
        "models/heads/detect.py",
        "tests/engine/report/test_labels.py::test_it_is_drawn_beside_anchors_and_strides",
        ("(self.anchors * self.stride.view(-1, 1, 1)).flatten(0, 1)", "self.anchors.flatten(0, 1)"),
    ),
    *cut(
        "data/look.py",
        "tests/data/test_main.py::test_what_the_scan_does_not_say",
        ("{*columns.labels[~columns.crowd].tolist()}", "()"),
        ('        yield from _remarks(name, split, splits["train"])\n', ""),
    ),
    *cut(
        "data/sheet/facts.py",
        "tests/data/sheet/test_facts.py::test_objects_worked_by_hand",
        ("scale = imgsz / limits.max(1, initial=1)", "scale = imgsz / limits[:, 0]"),
        ("rows = np.flatnonzero(~columns.crowd)", "rows = np.arange(len(columns.crowd))"),
    ),
    *cut(
        "data/sheet/page.py",
        "tests/data/sheet/test_page.py::test_it_can_be_read",
        ("names = [_short(name, _LONGEST_NAME) for", "names = [drawable(name) for"),
    ),
)
