#pragma once

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// Mean and population deviation of each column; 1 for the deviation of a constant column. The same
/// bits for every number of ranks: sums run over the rows in order, rank after rank, with a second
/// double for the rounding errors, columns of very large or small numbers scaled by a power of two,
/// so that squares neither overflow nor vanish. Collective. Throws InputError where a deviation
/// overflows.
struct Moments {
  std::vector<double> mean, deviation;
  std::vector<Index> constant;  ///< columns, from 0
};
Moments column_moments(const dist::RowBlock<double>& rows);

/// x -> (x - mean)/deviation. Local.
void standardize(dist::RowBlock<double>& rows, const std::vector<double>& mean,
                 const std::vector<double>& deviation);

/// Every row divided by its Euclidean norm, without overflow; a zero row stays zero. Local.
void unit_norm(dist::RowBlock<double>& rows);

/// n x classes: 1 in the label's column, 0 elsewhere, minus 1/classes; NaN for the label -1.
/// Collective.
dist::RowBlock<double> one_hot(const dist::RowBlock<double>& targets,
                               const std::vector<Index>& labels, Index classes);

}  // namespace mercer::data
