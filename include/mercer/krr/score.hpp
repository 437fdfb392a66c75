#pragma once

#include <span>

#include "mercer/base/index.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::krr {

/// Errors of predictions F (m x c) against targets Y (m x c), both by rows over the same ranks:
/// means over rows and outputs, the same bits on every rank. Collective, O(m c). Throw InputError
/// when the shapes differ or m c = 0. A NaN among the predictions gives NaN.
double mse(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y);
double rmse(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y);
/// rmse of (f - y)/deviation, one deviation > 0 per output (that of the training targets).
double rmse_standardized(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y,
                         std::span<const double> deviation);

/// The share of rows whose predicted class is their label. `labels`: one per local row of F. With c
/// > 1 outputs the class is the index of the largest output (0 ... c-1; the first of equals); with
/// one output it is the nearest of the labels that occur (the smaller of two equally near). A row
/// with a NaN is never right. Collective. Throws InputError unless there is one label a row, and m
/// > 0.
double accuracy(const dist::RowBlock<double>& F, std::span<const Index> labels);

}  // namespace mercer::krr
