"""Gaussians of each position by the definition, one position at a time, in float64."""

from __future__ import annotations

import numpy as np


def gaussian(samples, ridge):
    """(n, d) -> mean (d,), covariance (d, d)."""
    samples = np.asarray(samples, np.float64)
    mean = samples.mean(axis=0)
    covariance = sum(np.outer(x - mean, x - mean) for x in samples) / max(len(samples) - 1, 1)
    return mean, covariance + ridge * np.eye(samples.shape[1])


def mahalanobis(point, mean, covariance):
    """sqrt((x - mean)^T covariance^-1 (x - mean))."""
    difference = np.asarray(point, np.float64) - mean
    return float(np.sqrt(difference @ np.linalg.solve(covariance, difference)))


def cut(samples, rank, ridge):
    """The Gaussian of which `rank` directions are kept: the rest shares its mean variance."""
    samples = np.asarray(samples, np.float64)
    mean = samples.mean(axis=0)
    d = samples.shape[1]
    scatter = (samples - mean).T @ (samples - mean) / max(len(samples) - 1, 1)
    values, vectors = np.linalg.eigh(scatter)
    rest = values[: d - rank].mean() if rank < d else 0.0
    values[: d - rank] = rest
    return mean, vectors @ np.diag(values + ridge) @ vectors.T


def left_out_of_cut(samples, group, point, rank, ridge):
    """Distance when directions found with the group are kept, and everything else is without it."""
    samples = np.asarray(samples, np.float64)
    mean = samples.mean(axis=0)
    d = samples.shape[1]
    _, vectors = np.linalg.eigh((samples - mean).T @ (samples - mean))
    kept, outside = vectors[:, d - rank :], vectors[:, : d - rank]
    others = np.delete(samples, group, axis=0)
    centred = others - others.mean(axis=0)
    freedom = max(len(others) - 1, 1)
    along = (centred @ kept).T @ (centred @ kept) / freedom
    rest = np.square(centred @ outside).sum() / freedom / (d - rank)
    covariance = kept @ along @ kept.T + rest * outside @ outside.T + ridge * np.eye(d)
    return mahalanobis(point, others.mean(axis=0), covariance)


def cell_at(grid, row, column, other):
    """The cell of `other` at the middle of a cell of `grid`."""
    return (
        int((row + 0.5) / grid[0] * other[0]),
        int((column + 0.5) / grid[1] * other[1]),
    )


def left_out_grid(embeddings, photographs, insides, number, ridge, groups=None):
    """What photograph `number` scores without itself and its copies, fitted anew at every cell.

    Args:
        embeddings: (h, w, d) of each example; the first one's grid gives the positions.
        photographs: number of each example's photograph.
        insides: (h, w) of each.
        number: of the photograph.
        ridge: added to the covariance.
        groups: group of each photograph, which is left out with it; None for itself alone.
    """
    groups = range(max(photographs) + 1) if groups is None else groups
    grid = embeddings[0].shape[:2]
    own = embeddings[photographs.index(number)]
    scores = np.zeros(own.shape[:2])
    for row, column in np.ndindex(*scores.shape):
        position = cell_at(scores.shape, row, column, grid)
        samples = []
        for embedding, photograph, inside in zip(embeddings, photographs, insides, strict=True):
            cell = cell_at(grid, *position, embedding.shape[:2])
            if groups[photograph] != groups[number] and inside[cell]:
                samples.append(embedding[cell])
        scores[row, column] = mahalanobis(own[row, column], *gaussian(samples, ridge))
    return scores
