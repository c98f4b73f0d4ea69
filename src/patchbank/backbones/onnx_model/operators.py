"""The operators that feature networks have, by how the shape of their output comes about.

Those of the exports of torchvision and timm are here, convolutions and transformers, and of
networks quantised to integers.  Not here, and refused: `Loop`, `Scan`, `If`, sequences, operators
whose output has a size that depends on pixel values (`NonZero`, `Unique`, `NonMaxSuppression`),
random numbers, recurrent layers, and all of other domains.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SAME_SHAPE = _names(
    "Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Cast CastLike Ceil Celu Clip Cos Cosh "
    "CumSum DequantizeLinear Dropout Elu Erf Exp Floor Gelu GroupNormalization HardSigmoid "
    "HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu "
    "Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not PRelu QuantizeLinear "
    "RMSNormalization Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus "
    "Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu"
)
"""The first output has the shape of the first input."""
BROADCAST = _names(
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where Xor"
)
"""The output has the shape that the inputs are broadcast to."""
REDUCTIONS = _names(
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin "
    "ReduceProd ReduceSum ReduceSumSquare"
)
POOLINGS = _names("AveragePool LpPool MaxPool")
GLOBAL_POOLINGS = _names("GlobalAveragePool GlobalLpPool GlobalMaxPool")
CONVOLUTIONS = _names("Conv ConvInteger QLinearConv ConvTranspose")
PRODUCTS = _names("Gemm MatMul MatMulInteger QLinearMatMul")
OTHERS = _names(
    "Concat Constant ConstantOfShape DepthToSpace DynamicQuantizeLinear Einsum Expand Flatten "
    "Gather GatherElements GatherND GridSample OneHot Pad Range Reshape Resize ScatterElements "
    "ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile TopK Transpose Unsqueeze "
    "Upsample"
)
OPERATORS = (
    SAME_SHAPE
    | BROADCAST
    | REDUCTIONS
    | POOLINGS
    | GLOBAL_POOLINGS
    | CONVOLUTIONS
    | PRODUCTS
    | OTHERS
)
