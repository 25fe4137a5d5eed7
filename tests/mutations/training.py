"""Training: what reaches the criterion, the optimiser and the checkpoints."""

from __future__ import annotations

from tests.mutations.mutation import cut

_TESTS = "tests/engine/training"
_WIRING = f"{_TESTS}/test_wiring.py"
_AVERAGE = f"{_WIRING}::test_the_average_is_validated_and_kept"
_WARM_UP = f"{_WIRING}::test_warm_up_by_number"
_STEPS = f"{_WIRING}::test_without_warm_up_batches_are_accumulated_and_the_last_of_an_epoch_steps"
_ORDER = f"{_WIRING}::test_pictures_are_shuffled_by_seed_and_epoch"
_UNMIXED = f"{_WIRING}::test_the_last_epochs_are_not_mixed"
_LOSSES = f"{_WIRING}::test_losses_are_those_of_the_loops_with_objectness_scaled_by_the_image"
_ANCHORS = f"{_WIRING}::test_anchors_are_fitted_unless_told_not_to_be_or_taken_over"
_PACE = f"{_WIRING}::test_parameters_of_a_block_learn_at_the_pace_of_what_they_took_over"
_BEST = f"{_WIRING}::test_best_is_ap_with_a_tenth_of_ap50"
_SCHEDULE = f"{_TESTS}/test_schedule.py"
_OPTIMIZER = f"{_TESTS}/test_optimizer.py"

_STAGES = (
    *cut("engine/training/loop.py", _AVERAGE, ("training.learner.ema.module)", "training.learner.model)")),
    *cut("engine/training/loop.py", _WARM_UP, ("learner.schedule.apply(learner.optimizer, epoch, iteration)", "pass")),
    *cut("engine/training/loop.py", _WARM_UP, ("waiting >= learner.schedule.accumulate_at(iteration) or ", "")),
    *cut("engine/training/loop.py", _WARM_UP, ("iteration = epoch * len(loader) + number", "iteration = number")),
    *cut("engine/training/loop.py", _STEPS, (" or number + 1 == len(loader)", "")),
    *cut("engine/training/loop.py", _ORDER, ("loader.set_epoch(epoch)", "pass")),
    *cut(
        "engine/training/loop.py",
        _BEST,
        ("0.9 * figures", "0.5 * figures"),
        ("0.1 * figures", "0.2 * figures"),
        ("score > progress.best_fitness", "score >= progress.best_fitness"),
    ),
    *cut(
        "engine/training/loop.py",
        f"{_WIRING}::test_nothing_to_detect_is_a_fitness_of_0",
        ("return 0.0 if math.isnan(value) else value", "return value"),
    ),
    *cut("engine/training/saving.py", _AVERAGE, ("learner.ema.module.state_dict()", "learner.model.state_dict()")),
    *cut("engine/training/saving.py", _BEST, ("if improved:", "if True:")),
    *cut(
        "engine/training/start.py",
        _PACE,
        ("new_groups(model, options.optimizer, rules, taken)", "new_groups(model, options.optimizer, rules, None)"),
    ),
    *cut(
        "engine/training/start.py",
        f"{_WIRING}::test_the_seed_decides_the_initial_values",
        ("    seed_generators(options.seed)\n", ""),
    ),
)

_LEARNER = (
    *cut(
        "engine/training/learner.py",
        f"{_WIRING}::test_gradients_are_clipped_to_a_norm_of_10",
        ("clip_gradients(self.model.parameters())", "pass"),
    ),
    *cut("engine/training/learner.py", _AVERAGE, ("self.ema.update_parameters(self.model)", "pass")),
    *cut("engine/training/learner.py", _AVERAGE, ("build_ema(model, schedule.updates)", "build_ema(model, 10**6)")),
    *cut("engine/training/learner.py", _LOSSES, ("hyp.gains(options.imgsz)", "hyp.gains(640)")),
    *cut(
        "engine/training/learner.py",
        f"{_WIRING}::test_decay_is_for_kernels_and_follows_the_accumulated_batch",
        ("hyp.training, schedule.weight_decay", "hyp.training, hyp.training.weight_decay"),
    ),
    *cut(
        "engine/training/learner.py",
        _STEPS,
        ("        self.optimizer.zero_grad(set_to_none=True)\n        self.ema", "        self.ema"),
    ),
)

_SETUP = (
    *cut(
        "engine/training/setup.py",
        _ORDER,
        ("shuffle=not options.rect", "shuffle=False"),
        ("seed=options.seed", "seed=0"),
        ("augment=hyp.augment", "augment={}"),
    ),
    *cut(
        "engine/training/setup.py",
        _UNMIXED,
        ("options.epochs - unmixed", "options.epochs"),
        ("min(hyp.training.close_mosaic, options.epochs // 4)", "hyp.training.close_mosaic"),
    ),
    *cut(
        "engine/training/setup.py",
        _ANCHORS,
        ("model.head.fit(box_sizes(split, options.imgsz), gains, options.seed)", "None"),
        ("taken.head_taken) or options.noautoanchor)", "taken.head_taken))"),
        ("(taken is not None and taken.head_taken) or ", ""),
        ("model.classes = classes", "pass"),
    ),
    *cut(
        "engine/training/setup.py",
        f"{_WIRING}::test_a_frozen_row_stays_as_it_is",
        ("model.model[row].requires_grad_(False)", "pass"),
    ),
)

_PARTS = (
    *cut(
        "engine/training/schedule.py",
        f"{_SCHEDULE}::test_accumulation_reaches_the_nominal_batch",
        ("self.hyp.weight_decay * self.batch_size * self.accumulate / self.hyp.nominal_batch", "self.hyp.weight_decay"),
        ("if iteration >= self.warmup:", "if True:"),
    ),
    *cut(
        "engine/training/schedule.py",
        f"{_SCHEDULE}::test_schedule_ends",
        ("(1 - math.cos(math.pi * progress)) / 2", "progress"),
        ("1 - progress * (1 - self.hyp.lrf)", "1 - progress"),
    ),
    *cut(
        "engine/training/schedule.py",
        f"{_SCHEDULE}::test_a_short_warm_up_takes_100_iterations",
        ("_MIN_WARMUP_ITERATIONS = 100", "_MIN_WARMUP_ITERATIONS = 1"),
    ),
    *cut(
        "engine/training/schedule.py",
        f"{_SCHEDULE}::test_updates_count_every_step",
        ("math.ceil(self.batches / self.accumulate)", "(self.batches // self.accumulate)"),
    ),
    *cut(
        "engine/training/schedule.py",
        f"{_SCHEDULE}::test_warmup_raises_kernels_and_lowers_biases",
        ("self.hyp.warmup_bias_lr if", "0.0 if"),
        ("progress, self.hyp.warmup_momentum, self.hyp.momentum)", "1.0, self.hyp.warmup_momentum, self.hyp.momentum)"),
    ),
    *cut(
        "engine/training/schedule.py",
        f"{_OPTIMIZER}::test_a_block_can_slow_its_parameters_down",
        (' * group["rate_factor"]', ""),
    ),
    *cut(
        "engine/training/ema.py",
        f"{_TESTS}/test_ema.py::test_ema_follows_its_formula_and_copies_counters",
        ("(float(updates) + 1)", "float(updates)"),
        ("0.9999, 2000.0", "0.999, 2000.0"),
        ("use_buffers=True", "use_buffers=False"),
        ("max(updates * _EMA_RAMP_SHARE, 1.0)", "updates"),
    ),
    *cut(
        "engine/training/optimizer.py",
        f"{_OPTIMIZER}::test_only_kernels_are_decayed_and_nothing_is_left_out",
        ("weight_decay if group.decayed else 0.0", "weight_decay"),
        ('decayed=kind == "kernel"', 'decayed=kind != "bias"'),
    ),
    *cut(
        "engine/training/optimizer.py",
        f"{_OPTIMIZER}::test_frozen_parameters_are_left_out",
        ("        if parameter.requires_grad:", "        if True:"),
    ),
    *cut(
        "engine/training/optimizer.py",
        f"{_OPTIMIZER}::test_gradients_are_clipped",
        ("max_norm: float = 10.0", "max_norm: float = 20.0"),
    ),
    *cut(
        "engine/training/optimizer.py",
        f"{_OPTIMIZER}::test_sgd_looks_ahead",
        ("nesterov=hyp.momentum > 0", "nesterov=False"),
    ),
    *cut(
        "engine/training/optimizer.py",
        f"{_OPTIMIZER}::test_pretrained_kernels_allow_another_pace_under_sgd",
        (' and optimizer == "SGD"', ""),
        ("if name in finetuned:", "if False:"),
    ),
    *cut(
        "engine/training/optimizer.py",
        f"{_OPTIMIZER}::test_the_pace_follows_from_what_was_taken_over",
        ("if transfer.outcome is not Outcome.LEFT:", "if True:"),
    ),
    *cut(
        "engine/training/setup.py",
        f"{_TESTS}/test_setup.py::test_sizes_are_those_of_the_network_input",
        ("(imgsz / max(record.width, record.height))", "1.0"),
        ("[~record.crowd, 2:] - ", "[:, 2:] - "),
    ),
    *cut(
        "engine/training/hyperparameters.py",
        f"{_TESTS}/test_hyperparameters.py::test_wrong_files_are_one_line",
        ("if value != _ABSENT[key]:", "if False:"),
    ),
)

_RULES = (
    *cut(
        "engine/training/rules.py",
        "tests/engine/training/test_rules.py::test_rules_before_they_were_stored",
        ('interpolation="area"', 'interpolation="linear"'),
        ('level_balance="position"', 'level_balance="stride"'),
        ('"unstated" if began_from_kernels(options) else "all"', '"unstated"'),
    ),
)

_RESUME = (
    *cut(
        "engine/training/learner.py",
        "tests/scripts/test_old_checkpoint.py::test_it_goes_on_and_ends_as_before",
        ('self.model.load_state_dict(state["model"])', "pass"),
        ('self.ema.module.load_state_dict(saved.content["model"])', "pass"),
        ('self.ema.n_averaged.fill_(state["ema_updates"])', "pass"),
        ('self.optimizer.load_state_dict(state["optimizer"])', "pass"),
    ),
    *cut(
        "engine/training/state.py",
        f"{_TESTS}/test_state.py::test_patience",
        ("self.epoch - 1 - max(self.best_epoch", "self.epoch - max(self.best_epoch"),
        (" and not options.noval", ""),
    ),
)

MUTATIONS = (*_STAGES, *_LEARNER, *_SETUP, *_PARTS, *_RULES, *_RESUME)
