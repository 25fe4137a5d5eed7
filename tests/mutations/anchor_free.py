"""The anchor-free head: assignment, loss, decoding, takeover, and whose loss a recipe's values belong to."""

from __future__ import annotations

from tests.mutations.mutation import cut

_ASSIGNMENT = "tests/models/losses/test_task_aligned.py"
_REFERENCE = f"{_ASSIGNMENT}::test_random_cases_agree_with_the_reference"
_CROWD = f"{_ASSIGNMENT}::test_300_boxes_in_an_image_agree_with_the_reference"
_EQUAL = f"{_ASSIGNMENT}::test_equal_boxes_agree_with_the_reference"
_LOSS = "tests/models/losses/test_anchor_free_loss.py"
_IGNORE = "tests/models/losses/test_anchor_loss_ignore.py"
_HEAD = "tests/models/heads/test_anchor_free.py"
_RECIPES = "tests/engine/training/test_hyperparameters.py"

_ASSIGNED = (
    *cut(
        "models/losses/task_aligned.py",
        _REFERENCE,
        ("score.sqrt()", "score"),
        ("_best_of_each(match.alignment(box, cell, overlap), box - start,", "_best_of_each(overlap, box - start,"),
        ("(overlap.square() * overlap).square()", "overlap.square() * overlap"),
        ("torch.where(found > 0, found, 0)", "found.abs()"),
        ("alignment / (most_aligned", "overlap / (most_aligned"),
        ("* most_overlap", "* 1"),
        ("sorted(strides)[:2][-1]", "sorted(strides)[0]"),
        ("(smallest - (high - low)).clamp(min=0) / 2", "(smallest - (high - low)).clamp(min=0)"),
    ),
    *cut(
        "models/losses/task_aligned.py",
        _CROWD,
        ("torch.where(asking > 1, nearest, asked)", "asked"),
        ("kept = _first_of_each(alignment,", "kept = _first_of_each(overlap,"),
        (".topk(count).values[:, -1]", ".topk(count).values[:, 0]"),
        ("return order[rank < count]", "return order[rank <= count]"),
    ),
    *cut(
        "models/losses/task_aligned.py",
        _EQUAL,
        ("(_bits(overlap) << 32) + (_LAST - box)", "(_bits(overlap) << 32) + box"),
    ),
    *cut(
        "models/losses/overlap.py",
        _REFERENCE,
        ("(iou - trade_off * aspect)[0] - apart / around", "(iou - trade_off * aspect)[0]"),
        ("(iou - trade_off * aspect)[0]", "iou[0]"),
        ("torch.atan(width / height) * (2 / math.pi)", "torch.atan(width / height)"),
    ),
    *cut(
        "models/losses/cells.py",
        _REFERENCE,
        ("(low.floor() + 1)", "low.ceil()"),
        ("high.ceil(), grid.size", "high.floor() + 1, grid.size"),
        ("+ (image * grid.count)[:, None]", ""),
        ("+ row * jump.index_select(0, rectangle)", ""),
        ("points.append(grid.flatten(0, 1))", "points.append(grid.transpose(0, 1).flatten(0, 1))"),
    ),
)

_LOSSES = (
    *cut(
        "models/losses/anchor_free.py",
        _REFERENCE,
        ("if head.reg_max > 1:", "if head.reg_max > 4:"),
        ("overlap_loss @ found.weight", "overlap_loss.sum()"),
        ("distance_loss @ found.weight", "distance_loss.sum()"),
        ("- wanted @ found.weight", ""),
        ("found.weight.sum().clamp(min=1)", "found.weight.sum().clamp(min=1e-6)"),
        ("(width, height, width, height)", "(height, width, height, width)"),
        ("torch.cat((1 - above, above), 2)", "torch.cat((above, 1 - above), 2)"),
        ("- 1 - _MARGIN", "- 2 - _MARGIN"),
        ("ignored[found.image, found.cell] = False", "pass"),
        ("losses = losses.masked_fill(ignored[..., None], 0)", "pass"),
    ),
    *cut(
        "models/losses/anchor_free.py",
        f"{_LOSS}::test_the_second_pair_takes_over_in_the_course_of_the_training",
        ("logits[levels:], targets, ONE", "logits[levels:], targets, MANY"),
        ("- _MANY_AT_START) * progress", "- _MANY_AT_START)"),
        ("_MANY_AT_END = 0.8, 0.1", "_MANY_AT_END = 0.1, 0.8"),
    ),
    *cut(
        "models/losses/anchor_free.py",
        f"{_LOSS}::test_each_part_has_its_gain",
        ("total * self.gains[name]", "total"),
    ),
    *cut(
        "models/losses/overlap.py",
        f"{_LOSS}::test_a_perfect_prediction_answers_for_its_box",
        ("_EPS = 1e-6", "_EPS = 0.0"),
    ),
    *cut(
        "models/losses/anchor.py",
        f"{_IGNORE}::test_objectness_in_a_region_counts_where_a_box_was_matched",
        ("counted[match.image, match.anchor, match.row, match.column] = True", "pass"),
        ("None if ignored is None else ~ignored", "None if ignored is None else ignored"),
    ),
    *cut(
        "models/losses/anchor.py",
        f"{_IGNORE}::test_where_nothing_else_counts_the_loss_stays_finite",
        ("objectness_loss if objectness.numel() else objectness.sum()", "objectness_loss"),
    ),
)

_WIRING = (
    *cut(
        "models/heads/anchor_free.py",
        f"{_HEAD}::test_two_pairs_of_branches",
        ("[map_.detach() for map_ in features] if pair == ONE_TO_ONE and self.training else features", "features"),
        ("levels = logits[-self.nl :]", "levels = logits[: self.nl]"),
        ("self.needs_suppression = not end2end", "self.needs_suppression = True"),
    ),
    *cut(
        "models/heads/anchor_free.py",
        f"{_HEAD}::test_half_precision_concerns_the_logits_alone",
        ("flattened(levels).to(dtype)", "flattened(levels)"),
    ),
    *cut(
        "models/heads/anchor_free.py",
        f"{_HEAD}::test_initial_biases_are_a_box_of_some_size_and_few_objects",
        ("(PRIOR_IMAGE_SIZE / cell) ** 2", "(PRIOR_IMAGE_SIZE / cell)"),
        ("INITIAL_BOX_BIAS = 1.0", "INITIAL_BOX_BIAS = 0.0"),
    ),
    *cut(
        "models/heads/anchor_free.py",
        f"{_HEAD}::test_folding_drops_the_pair_that_only_trains",
        ("delattr(self, name)", "pass"),
    ),
    *cut(
        "models/heads/anchor_free.py",
        f"{_HEAD}::test_nothing_after_a_layer_that_differs_comes_along",
        ("takewhile(partial", "filter(partial"),
    ),
    *cut(
        "models/heads/anchor_free.py",
        f"{_HEAD}::test_a_changed_kernel_of_distances_stays_out",
        ("not keys[0].startswith(_FIXED) or ", "True or "),
    ),
    *cut(
        "engine/training/hyperparameters.py",
        f"{_RECIPES}::test_values_of_the_anchor_based_loss_do_not_reach_the_anchor_free_one",
        (" and key not in theirs", ""),
        ("for fields in others if fields & foreign for", "for fields in others if foreign for"),
    ),
    *cut(
        "engine/training/setup.py",
        f"{_RECIPES}::test_what_is_left_out_is_said_once",
        ("    if foreign:", "    if not foreign:"),
    ),
)

MUTATIONS = (*_ASSIGNED, *_LOSSES, *_WIRING)
