"""The network: loss, head, weights that are taken over, configuration."""

from __future__ import annotations

from tests.mutations.mutation import cut

_LOOPS = "tests/models/losses/test_anchor_loss_levels.py::test_equals_the_loops"
_ANCHORS = "tests/models/heads/test_anchors.py"
_DETECTOR = "tests/models/test_detector.py"
_TRANSFER = "tests/models/weights/test_transfer.py"
_NEWER = "tests/models/blocks/test_newer_blocks.py"
_NEWER_ROWS = "tests/models/blocks/test_newer_rows.py"

_LOSS = (
    *cut(
        "models/losses/anchor.py",
        _LOOPS,
        ("(4.0, 1.0, 0.4)", "(0.4, 1.0, 4.0)"),
        ("0.06, 0.02)", "0.02, 0.06)"),
        ("stride.argsort(stable=True).argsort()", "torch.arange(levels)"),
        ("min(place, len(finest_first) - 1)", "place % len(finest_first)"),
        ("_OBJECTNESS_IMAGE_SIZE) ** 2", "_OBJECTNESS_IMAGE_SIZE)"),
        ('quality, "amax")', 'quality, "amin")'),
        ("(1 - distance.detach()).clamp(0)", "torch.ones_like(distance)"),
        ("1 - 0.5 * smoothing, 0.5 * smoothing", "1 - smoothing, smoothing"),
        ("pos_weight=self.obj_pw", "pos_weight=None"),
        ("pos_weight=self.cls_pw", "pos_weight=None"),
        ("(matched[:, 2:4].sigmoid() * 2) ** 2", "(matched[:, 2:4].sigmoid() * 2)"),
        ("head.nc / 80 * 3", "head.nc / 80"),
    ),
    *cut(
        "models/losses/anchor_assignment.py",
        _LOOPS,
        ("(home % 1 < 0.5) & (home > 1)", "(home % 1 < 0.5) & (home > 2)"),
        ("(inside % 1 < 0.5) & (inside > 1)", "(inside % 1 < 0.5) & (inside >= 0)"),
        ("torch.maximum(ratio, 1 / ratio).amax(2)", "ratio.amax(2)"),
        ("((0, 0), (0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5))", "((0, 0), (0.5, 0), (0, 0.5), (-0.5, 0), (0, 0.5))"),
    ),
)

_BLOCKS = (
    *cut(
        "models/blocks/saconv/atrous.py",
        "tests/models/blocks/test_saconv.py::test_golden",
        ("LARGE_RATE = 3", "LARGE_RATE = 2"),
        ("blend(switch, small, large)", "blend(switch, large, small)"),
        ("return y.add_(context)", "return y"),
    ),
    *cut(
        "models/blocks/saconv/block.py",
        "tests/models/blocks/test_saconv.py::test_golden",
        ("large=small + self.weight_diff", "large=small"),
    ),
    *cut(
        "models/blocks/saconv/standardise.py",
        "tests/models/blocks/test_saconv.py::test_golden",
        ("offset = beta - scale * mean", "offset = beta"),
        ("return (var + EPS).sqrt(), mean", "return var + EPS, mean"),
    ),
    *cut(
        "models/blocks/spconv.py",
        "tests/models/blocks/test_spconv.py::test_golden",
        ("blend(difference.sigmoid(), yr, yu)", "blend(difference.sigmoid(), yu, yr)"),
        ("nn.Conv2d(split, c2, 3, s, 1, groups=2, bias=False)", "nn.Conv2d(split, c2, 3, s, 1, bias=False)"),
    ),
    *cut(
        "models/blocks/spconv.py",
        "tests/models/blocks/test_spconv.py::test_equals_the_formulas_on_every_size",
        ("ceil_mode=True, count_include_pad=False)", "ceil_mode=True, divisor_override=4)"),
    ),
    *cut(
        "models/blocks/attention.py",
        f"{_NEWER}::test_attention_in_loops",
        ("parts.split((kd, kd, hd), 3)", "parts.roll(-kd, 3).split((kd, kd, hd), 3)"),
        ("_as_map(y, height, width) + self.pe", "self.pe"),
    ),
    *cut(
        "models/blocks/attention.py",
        f"{_NEWER}::test_one_head_for_each_64_channels",
        ("max(channels // 64, 1)", "max(channels // 32, 1)"),
    ),
    *cut(
        "models/blocks/area_attention.py",
        f"{_NEWER}::test_area_attention_in_loops",
        ("cells.unflatten(1, (self.area, -1))", "cells.unflatten(1, (1, -1))"),
        ("_as_map(y, height, width) + self.pe", "self.pe"),
    ),
    *cut(
        "models/blocks/area_attention.py",
        f"{_NEWER}::test_a_residual_a2c2f_stays_in_half_precision",
        ("self.gamma.to(y.dtype)[", "self.gamma["),
    ),
    *cut(
        "models/blocks/area_attention.py",
        f"{_NEWER_ROWS}::test_a2c2f_adds_its_input_at_the_largest_sizes",
        ('frozenset("lx")', 'frozenset("mlx")'),
        ("residual=True, mlp=1.2)", "residual=True)"),
    ),
    *cut(
        "models/blocks/c2f.py",
        f"{_NEWER_ROWS}::test_c3k2_has_c3k_at_the_large_sizes",
        ('frozenset("mlx")', 'frozenset("lx")'),
    ),
    *cut(
        "models/blocks/c2f.py",
        f"{_NEWER_ROWS}::test_every_3x3_convolution_is_of_the_class_that_a_row_names",
        ("return C3k(h, h, 2, shortcut, g, conv=conv, **conv_kwargs)", "return C3k(h, h, 2, shortcut, g)"),
    ),
    *cut(
        "models/blocks/cib.py",
        f"{_NEWER_ROWS}::test_every_3x3_convolution_is_of_the_class_that_a_row_names",
        ("return conv(c, c, 3, g=c, **conv_kwargs)", "return conv(c, c, 3, **conv_kwargs)"),
        ("CIB(h, h, shortcut, 1.0, lk, conv=conv, **conv_kwargs)", "CIB(h, h, shortcut, 1.0, lk)"),
    ),
    *cut(
        "models/blocks/cib.py",
        f"{_NEWER}::test_rep_vgg_dw_becomes_one_convolution",
        ("large.bias += small.bias", "large.bias += 0"),
        ("(2, 2, 2, 2)", "(1, 3, 2, 2)"),
    ),
    *cut(
        "models/rules.py",
        f"{_NEWER_ROWS}::test_c3k2_has_c3k_at_the_large_sizes",
        ("values.get(name, arg)", "arg"),
    ),
    *cut(
        "models/parser.py",
        f"{_NEWER_ROWS}::test_c3k2_has_c3k_at_the_large_sizes",
        (" | dict(plan.kwargs)", ""),
    ),
    *cut(
        "models/kinds.py",
        f"{_NEWER_ROWS}::test_too_much_is_refused",
        ('current_budget().check("repeats", number)', "pass"),
        ('current_budget().check("parameters", number, f"{name} of {{}}")', "pass"),
    ),
)

_SIMPLE = "tests/models/test_simplify.py"
_SIMPLIFY = (
    *cut(
        "models/blocks/saconv/block.py",
        f"{_SIMPLE}::test_a_neutral_block_is_its_plain_convolution",
        ("running_mean).sub_(operands.post_bias)", "running_mean)"),
        ("return plain.train(self.training)", "return plain"),
    ),
    *cut(
        "models/blocks/saconv/block.py",
        f"{_SIMPLE}::test_the_switch_departs_at_its_worst_pixel",
        ("(switch - 1).abs().max()", "(switch - 1).abs().mean()"),
    ),
    *cut(
        "models/blocks/saconv/atrous.py",
        f"{_SIMPLE}::test_the_switch_sees_the_pre_context",
        ("return _switch(x + _context(x, t.pre_weight, t.pre_bias), t, geometry)", "return _switch(x, t, geometry)"),
    ),
    *cut(
        "models/simplify.py",
        f"{_SIMPLE}::test_the_worst_picture_decides_in_any_order",
        ("known if value <= known or", "known if value >= known or"),
    ),
    *cut(
        "models/simplify.py",
        f"{_SIMPLE}::test_not_a_number_stays",
        (" or math.isnan(known) else", " else"),
    ),
    *cut(
        "models/simplify.py",
        f"{_SIMPLE}::test_a_switch_counts_even_where_both_branches_agree",
        ("{**own, OUTPUT", "{OUTPUT"),
    ),
    *cut(
        "models/simplify.py",
        f"{_SIMPLE}::test_any_block_may_have_a_simpler_one",
        ("(change / level.clamp_min", "(change / level.square().clamp_min"),
    ),
    *cut(
        "models/simplify.py",
        f"{_SIMPLE}::test_without_pictures_nothing_is_known",
        ("return bool(self.departures) and all(", "return all("),
    ),
    *cut(
        "models/simplify.py",
        f"{_SIMPLE}::test_hooks_are_gone_afterwards",
        ("            hooks.callback(handle.remove)\n", ""),
    ),
)

_HEAD = (
    *cut(
        "models/heads/detect.py",
        f"{_DETECTOR}::test_decoding_against_the_formulas_one_number_at_a_time",
        ("(wh * 2) ** 2", "(wh * 2)"),
        ("corner.flatten(0, 1) - 0.5", "corner.flatten(0, 1)"),
    ),
    *cut(
        "models/heads/detect.py",
        f"{_DETECTOR}::test_predictions_are_the_readable_table_in_another_form",
        ("centre - size / 2, centre", "centre - size, centre"),
        ("scores * factors if torch.is_grad_enabled() else scores.mul_(factors)", "scores"),
    ),
    *cut(
        "models/heads/detect.py",
        f"{_DETECTOR}::test_initial_biases_expect_few_objects_and_no_class",
        ("/ (PRIOR_IMAGE_SIZE / stride) ** 2", "/ (PRIOR_IMAGE_SIZE / stride)"),
    ),
    *cut(
        "models/heads/detect.py",
        f"{_DETECTOR}::test_anchors_are_stored_in_grid_units_and_small_ones_belong_to_fine_levels",
        ("smallest_first[level_rank(self.stride)] / self", "self.anchors / self"),
    ),
    *cut(
        "models/heads/detect.py",
        f"{_ANCHORS}::test_the_head_refits_placeholders_in_place",
        ("finest_first[level_rank(self.stride)] / stride", "finest_first / stride"),
        ("self.anchors.copy_(finest_first", "(finest_first"),
    ),
    *cut(
        "models/heads/anchors.py",
        f"{_ANCHORS}::test_fit_is_the_worse_side_of_the_best_anchor",
        (".min(2).max(1)", ".max(2).max(1)"),
    ),
    *cut(
        "models/heads/anchors.py",
        f"{_ANCHORS}::test_anchors_that_nearly_all_boxes_find_stay",
        ("recall >= _ENOUGH", "recall >= 1"),
    ),
    *cut(
        "models/heads/takeover.py",
        f"{_TRANSFER}::test_head_keeps_the_rows_of_shared_classes",
        ("*(common + pair[1] for pair in pairs)", "*(common + pair[0] for pair in pairs)"),
        ("joined[:, target] = rows[:, source]", "pass"),
    ),
)

_WEIGHTS = (
    *cut(
        "models/weights/matching.py",
        f"{_TRANSFER}::test_equal_shapes_at_another_stride_are_no_match",
        (" or source_stride == target_stride", " or True"),
        ('{**config.plain(), "nc": 0} == {**yaml, "nc": 0}', "True"),
    ),
    *cut(
        "models/weights/matching.py",
        "tests/models/weights/test_matching.py::test_no_alignment_brings_more",
        ("(common, int(same))", "(common, 0)"),
    ),
    *cut(
        "models/weights/matching.py",
        "tests/models/weights/test_matching.py::test_a_row_that_shares_little_is_no_match_unless_it_has_the_index",
        ("_size(target)) / 2", "_size(target)) / 9"),
        ("1 if same else ", ""),
    ),
    *cut(
        "models/weights/conversion.py",
        f"{_TRANSFER}::test_spconv_says_that_it_is_approximate",
        ("isinstance(step, Approximate)", "False"),
    ),
    *cut(
        "models/weights/conversion.py",
        f"{_TRANSFER}::test_kernel_of_another_shape_leaves_its_batchnorm_too",
        ("elif source.tensors[name].shape != tensor.shape:", "elif False:"),
    ),
)

_READING = (
    *cut(
        "models/weights/unpickling.py",
        "tests/models/weights/test_foreign_refused.py::test_what_would_run_code_is_refused",
        ('raise RefusedError(f"it calls {cls.__module__}.{cls.__qualname__}")\n\n\nclass', "return None\n\n\nclass"),
    ),
)

_ULTRALYTICS = (
    *cut(
        "models/weights/activations.py",
        "tests/models/weights/test_ultralytics_transfer.py::test_another_activation_is_said_and_does_not_detect",
        ("if _meaning(there) != _meaning(here):", "if there != here:"),
        ('prefix = f"model.{partner}."', 'prefix = f"model.{partner + 1}."'),
    ),
    *cut(
        "models/weights/load.py",
        "tests/models/weights/test_ultralytics_transfer.py::test_another_activation_is_said_and_does_not_detect",
        ("if report.notes:", "if False:"),
    ),
    *cut(
        "models/heads/anchor_free.py",
        "tests/models/weights/test_ultralytics_transfer.py::test_other_networks_take_what_fits_and_say_what_does_not",
        ("if all(key.startswith(_FIXED) for key in entries):", "if False:"),
    ),
    *cut(
        "models/weights/transfer.py",
        f"{_TRANSFER}::test_a_head_with_a_strange_tensor_is_reported_and_not_stumbled_over",
        ("if any(integers_for_floats(given, own)):", "if False:"),
    ),
    *cut(
        "models/heads/detect.py",
        f"{_TRANSFER}::test_a_head_with_a_strange_tensor_is_reported_and_not_stumbled_over",
        (" or bias is None", ""),
        ("if not fits or", "if"),
    ),
    *cut(
        "models/weights/foreign.py",
        "tests/models/weights/test_ultralytics.py::test_every_kind_of_file_computes_the_same",
        ('if key.startswith("model.")}  # a loss', "}  # a loss"),
        ('for key in ("model", "ema")', 'for key in ("ema", "model")'),
        (', model.get("args")', ""),
    ),
    *cut(
        "models/weights/foreign.py",
        "tests/models/weights/test_ultralytics.py::test_the_tensors_say_which_class_branch_the_head_has",
        ("yaml if legacy is None else", "yaml if True else"),
    ),
    *cut(
        "models/weights/foreign.py",
        "tests/models/weights/test_ultralytics.py::test_a_fused_model_detects",
        ("torch.full((channels,), 1 - BATCH_NORM_EPS)", "torch.ones(channels)"),
        ("if bias is None else bias", ""),
    ),
    *cut(
        "models/weights/foreign.py",
        "tests/models/weights/test_ultralytics.py::test_a_file_that_names_no_size_has_the_first_one",
        ('if "scales" in yaml:', "if False:"),
    ),
    *cut(
        "engine/training/setup.py",
        "tests/models/weights/test_ultralytics.py::test_a_fused_model_is_no_start_for_a_training",
        ("if pretrained is not None and pretrained.folded:", "if False:"),
    ),
    *cut(
        "models/weights/unpickling.py",
        "tests/models/weights/test_ultralytics.py::test_the_activations_are_those_of_the_objects",
        ('elif name == "act" and kind', 'elif name == "" and kind'),
    ),
    *cut(
        "models/weights/unpickling.py",
        "tests/models/weights/test_ultralytics_refused.py::test_what_would_run_code_is_refused",
        ("in _NAMESPACES and not args", "in _NAMESPACES"),
        ("if not isinstance(owner, StandIn | _NoCalls) or", "if"),
    ),
)

_SCHEMA = (
    *cut(
        "files/strict_yaml.py",
        "tests/files/test_strict_yaml.py::test_what_is_refused_is_one_line_of_the_callers_class",
        ("seen.add(value)", "pass"),
        ("mark.line + 1", "mark.line"),
    ),
    *cut(
        "files/lookup.py",
        "tests/files/test_lookup.py::test_a_file_of_that_name_in_the_working_folder_goes_first",
        ("self.existing(name) or self.named(name)", "self.named(name) or self.existing(name)"),
    ),
    *cut(
        "files/lookup.py",
        "tests/files/test_lookup.py::test_names_and_paths_where_the_file_lies_or_lay",
        ("(self.folder, *self.earlier)", "(self.folder,)"),
    ),
    *cut(
        "files/atomic.py",
        "tests/files/test_atomic.py::test_failed_write_leaves_the_previous_file",
        ("        file.discard()", "        pass"),
    ),
    *cut(
        "files/atomic.py",
        "tests/files/test_atomic.py::test_content_is_on_the_disk_before_it_gets_its_name",
        ("        _sync(self.temporary)\n", ""),
    ),
    *cut(
        "models/config/sizes.py",
        "tests/models/config/test_sizes.py::test_mistakes_in_a_family",
        ("if named and written and named != written:", "if False:"),
    ),
    *cut(
        "models/config/sizes.py",
        "tests/models/config/test_sizes.py::test_every_name_and_path_that_ever_worked",
        ("return named or written", "return written or sizes[0]"),
    ),
)

MUTATIONS = (*_LOSS, *_BLOCKS, *_SIMPLIFY, *_HEAD, *_WEIGHTS, *_READING, *_ULTRALYTICS, *_SCHEMA)
