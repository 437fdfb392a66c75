#pragma once

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// Mean and population deviation of each column (d); the deviation of a constant column is 1.
struct Moments {
  std::vector<double> mean, deviation;
  std::vector<Index> constant;  ///< constant columns, from 0
};
/// Sums over all rows, with the same bits for every number of ranks: they run over the rows in
/// order, rank after rank, with a second double for the rounding errors; columns of very large or
/// small numbers are scaled by a power of two, so that squares neither overflow nor underflow.
/// Collective, one rank at a time. Throws InputError where a deviation overflows.
Moments column_moments(const dist::RowBlock<double>& rows);

/// x -> (x - mean)/deviation for each column; nothing where `mean` is empty. Local.
void standardize(dist::RowBlock<double>& rows, const std::vector<double>& mean,
                 const std::vector<double>& deviation);

/// Every row divided by its Euclidean norm, without overflow; a zero row stays zero. Local.
void unit_norm(dist::RowBlock<double>& rows);

/// n x classes by rows as `targets`: 1 in the label's column and 0 elsewhere, minus 1/classes; NaN
/// in rows with the label -1. Collective.
dist::RowBlock<double> one_hot(const dist::RowBlock<double>& targets,
                               const std::vector<Index>& labels, Index classes);

}  // namespace mercer::data
