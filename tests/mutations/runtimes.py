"""OpenVINO and NCNN."""

from __future__ import annotations

from tests.mutations.mutation import cut

_TESTS = "tests/engine/exporting/test_runtimes.py"

MUTATIONS = (
    *cut(
        "engine/exporting/int8.py",
        f"{_TESTS}::test_openvino_int8_leaves_blend_and_decoding_in_float",
        ("    stays_float |= _float_parts(model, network)\n", ""),
        ("types=list(_GATES)", "types=[]"),
    ),
    *cut(
        "engine/exporting/formats/openvino.py",
        f"{_TESTS}::test_half_stores_weights_in_float16[openvino]",
        ("compress_to_fp16=job.options.half", "compress_to_fp16=False"),
    ),
    *cut(
        "engine/exporting/formats/ncnn.py",
        f"{_TESTS}::test_half_stores_weights_in_float16[ncnn]",
        ("half=job.options.half", "half=False"),
        ("for_one_size(), ", ""),
        ("return _interpolated(*args)", "pass"),
    ),
    *cut(
        "engine/openvino_packages.py",
        f"{_TESTS}::test_openvino_and_int8_open_no_socket_and_write_nothing_at_home",
        ("sys.modules.setdefault(_REPORTS, None)", "pass"),
    ),
)
