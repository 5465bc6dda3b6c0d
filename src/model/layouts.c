/* SPDX-License-Identifier: Apache-2.0 */
/* layouts: what can be said about a quantisation layout without looking at a tensor.
 *
 * The order is that of enum sc_layout. How a layout is recognised stands in the fold_*.c files. */
#include "model/model.h"

const struct sc_layout_info sc_layouts[SC_LAYOUT_COUNT] = {
    [SC_LAYOUT_PLAIN] = {"plain", true, "one stored tensor"},
    [SC_LAYOUT_GGML] = {"ggml", true, "blocks that carry their scales"},
    [SC_LAYOUT_FP8] = {"fp8", true, "8-bit floats and a scale for the tensor, each row or block"},
    [SC_LAYOUT_CT_PACK] = {"ct-pack", true, "compressed-tensors: integers packed in 32-bit words"},
    [SC_LAYOUT_CT_INT] = {"int8", true, "8-bit integers and a scale for the tensor, row or block"},
    [SC_LAYOUT_NVFP4] = {"nvfp4", true, "E2M1 codes, an E4M3 scale for 16 and one for the tensor"},
    [SC_LAYOUT_MXFP4] = {"mxfp4", true, "E2M1 codes and a power of two for 32"},
    [SC_LAYOUT_GPTQ] = {"gptq", true, "GPTQ: integers packed along the inputs"},
    [SC_LAYOUT_AWQ] = {"awq", true, "AWQ (gemm): integers packed along the outputs"},
    [SC_LAYOUT_BNB_INT8] = {"bnb-int8", true, "bitsandbytes LLM.int8: a maximum for each row"},
    [SC_LAYOUT_BNB_4BIT] = {"bnb-4bit", true, "bitsandbytes NF4 or FP4: a maximum for each block"},
    [SC_LAYOUT_MLX] = {"mlx", true, "MLX: codes in 32-bit words, scales and biases of groups"},
    [SC_LAYOUT_BITNET] = {"bitnet", true, "BitNet: four ternary weights in a byte"},
    [SC_LAYOUT_TORCH_QINT] = {"torch-q", true,
                              "PyTorch: integers, scale and zero point of the tensor or channel"},
    [SC_LAYOUT_HQQ] = {"hqq", false, "HQQ: recognised, cannot be decoded"},
    [SC_LAYOUT_AQLM] = {"aqlm", false, "AQLM: recognised, cannot be decoded"},
    [SC_LAYOUT_QUIP] = {"quip", false, "QuIP#: recognised, cannot be decoded"},
    [SC_LAYOUT_EXL2] = {"exl2", false, "EXL2: recognised, cannot be decoded"},
    [SC_LAYOUT_EXL3] = {"exl3", false, "EXL3: recognised, cannot be decoded"},
    [SC_LAYOUT_VPTQ] = {"vptq", false, "VPTQ: recognised, cannot be decoded"},
    [SC_LAYOUT_SPQR] = {"spqr", false, "SpQR: recognised, cannot be decoded"},
    [SC_LAYOUT_TORCHAO] = {"torchao", false, "torchao: recognised, cannot be decoded"},
};
