"""Patch embeddings, slow and by the definition: unfold, align, pool (float64)."""

from __future__ import annotations

import numpy as np


def unfold(planes, patch_size, stride):
    """(c, h, w) -> (c, p, p, h', w'): every neighbourhood, zeros beyond the border."""
    c, h, w = planes.shape
    padding = (patch_size - 1) // 2
    padded = np.zeros((c, h + 2 * padding, w + 2 * padding))
    padded[:, padding : padding + h, padding : padding + w] = planes
    h_out = (h + 2 * padding - patch_size) // stride + 1
    w_out = (w + 2 * padding - patch_size) // stride + 1
    out = np.zeros((c, patch_size, patch_size, h_out, w_out))
    for y in range(h_out):
        for x in range(w_out):
            top, left = y * stride, x * stride
            out[:, :, :, y, x] = padded[:, top : top + patch_size, left : left + patch_size]
    return out


def bilinear(plane, height, width):
    """(h, w) -> (height, width), pixel centres at half integers, one pixel at a time."""
    h, w = plane.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            cy = min(max((y + 0.5) * h / height - 0.5, 0), h - 1)
            cx = min(max((x + 0.5) * w / width - 0.5, 0), w - 1)
            y0, x0 = int(cy), int(cx)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            fy, fx = cy - y0, cx - x0
            top = plane[y0, x0] * (1 - fx) + plane[y0, x1] * fx
            bottom = plane[y1, x0] * (1 - fx) + plane[y1, x1] * fx
            out[y, x] = top * (1 - fy) + bottom * fy
    return out


def adaptive_pool(vector, n_out):
    """Adaptive average pooling of one vector."""
    n = len(vector)
    return np.array(
        [vector[i * n // n_out : -(-(i + 1) * n // n_out)].mean() for i in range(n_out)]
    )


def aligned(maps, patch_size, stride):
    """Unfold every layer and bring it to the first layer's grid.  -> [(c, p, p, h, w), ...]"""
    unfolded = [unfold(m, patch_size, stride) for m in maps]
    h, w = unfolded[0].shape[3:]
    out = []
    for u in unfolded:
        planes = u.reshape(-1, *u.shape[3:])
        resized = np.stack([bilinear(p, h, w) for p in planes])
        out.append(resized.reshape(*u.shape[:3], h, w))
    return out


def concatenated(maps, patch_size, stride):
    """Mean of each aligned neighbourhood, layers side by side, some kept.  -> (h, w, d)"""
    means = [a.mean(axis=(1, 2)) for a in aligned(maps, patch_size, 1)]
    return np.concatenate(means).transpose(1, 2, 0)[::stride, ::stride]


def adaptively_pooled(maps, patch_size, stride, layer_dims, target_dims):
    """The official embedding as it is written down.  -> (h, w, target_dims)"""
    layers = aligned(maps, patch_size, stride)
    h, w = layers[0].shape[3:]
    out = np.zeros((h, w, target_dims))
    for y in range(h):
        for x in range(w):
            pooled = [adaptive_pool(a[..., y, x].ravel(), layer_dims) for a in layers]
            out[y, x] = adaptive_pool(np.concatenate(pooled), target_dims)
    return out
