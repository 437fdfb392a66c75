#pragma once

#include <span>
#include <vector>

#include "mercer/base/index.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::krr {

/// Mean square error, and its root, of predictions F (m x c) against targets Y (m x c), both by
/// rows over the same ranks: means over rows and outputs, the same bits on every rank. Collective,
/// O(m c). Throw InputError where the shapes differ or m c = 0. A NaN in F gives NaN.
double mse(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y);
double rmse(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y);
/// rmse of (f - y)/deviation, one deviation > 0 per output (that of the training targets).
/// Collective; throws as mse(), and for another number of deviations.
double rmse_standardized(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y,
                         std::span<const double> deviation);
/// Mean of e^2 over the rows of E (m x c), one number an output. Collective, O(m c). Throws
/// InputError where m = 0.
std::vector<double> mean_squares(const dist::RowBlock<double>& E);

/// The coefficient of determination of every output, R^2_o = 1 - SSE_o/SST_o with
///     SSE_o = sum_i (f_io - y_io)^2,   SST_o = sum_i (y_io - mean_o)^2,
/// mean_o over the rows of Y itself. 1: exact predictions; 0: as good as predicting the mean; below
/// 0: worse than that. NaN where the targets of an output are all equal (SST = 0: there is nothing
/// to explain), m = 1 included. Does not depend on the targets' unit and origin. Collective, O(m
/// c). Throws as mse().
std::vector<double> r_squared_by_output(const dist::RowBlock<double>& F,
                                        const dist::RowBlock<double>& Y);
/// The mean of r_squared_by_output() over the outputs whose targets are not all equal; NaN where
/// there is no such output. A NaN among their predictions gives NaN. Collective.
double r_squared(const dist::RowBlock<double>& F, const dist::RowBlock<double>& Y);

/// The predicted class of each local row of F, as an index into `values`, the numbers that stand
/// for the classes. With c > 1 outputs, one a class, it is the largest output (the first of
/// equals); with one output it is the nearest of `values` (the first of two equally near). -1 for a
/// row with a NaN. Local, O(m c) or O(m classes). Throws InputError where there is no class, or
/// where c > 1 is not the number of classes.
std::vector<Index> predicted_classes(const dist::RowBlock<double>& F,
                                     std::span<const double> values);

/// The confusion matrix: how many rows of class t were predicted to be of class p. The same on all
/// ranks.
class Confusion {
 public:
  /// Beyond so many classes there is no matrix, only counts by class.
  static constexpr Index kMostClasses = 512;

  /// `predicted` (as predicted_classes() gives them) and `labels` (0 ... classes-1) of this rank's
  /// rows. Collective; memory: classes^2 numbers, or 2 classes beyond kMostClasses. Throws
  /// InputError unless there is one label a row, each of 0 ... classes-1, and a row on some rank.
  Confusion(const comm::Communicator& comm, std::span<const Index> predicted,
            std::span<const Index> labels, Index classes);

  Index classes() const { return static_cast<Index>(rows_.size()); }
  bool has_matrix() const { return !counts_.empty(); }
  /// Rows of class t that were predicted to be p, where has_matrix(). A row without a prediction
  /// (NaN) is in no column.
  Index operator()(Index t, Index p) const {
    return counts_[static_cast<std::size_t>(t * classes() + p)];
  }
  /// Rows of class t.
  Index rows(Index t) const { return rows_[static_cast<std::size_t>(t)]; }
  /// The share of all rows that were predicted right.
  double accuracy() const;
  /// The same for the rows of each class; NaN for a class without rows.
  std::vector<double> accuracy_by_class() const;

 private:
  std::vector<Index> counts_;        ///< classes x classes, row by row: (true, predicted)
  std::vector<Index> rows_, right_;  ///< of each class
};

/// Confusion::accuracy() of predicted_classes(F, values). `labels`: the class of each local row, as
/// an index into `values`. Collective. Throws as these two.
double accuracy(const dist::RowBlock<double>& F, std::span<const Index> labels,
                std::span<const double> values);

/// Class probabilities are the softmax of the c > 1 outputs, one a class, at a temperature T > 0:
///     p_j(x) = exp(f_j(x)/T) / sum_l exp(f_l(x)/T),
/// so that the likeliest class is the predicted one; T is the difference between two outputs that
/// changes the ratio of their probabilities by a factor e. T = infinity: 1/c for every class. m x
/// c, rows sum to 1. Local, O(m c). Throws InputError unless T > 0.
dist::RowBlock<double> probabilities(const dist::RowBlock<double>& F, double temperature);

/// -(1/m) sum_i log p_(label_i)(x_i) of these probabilities, computed without them, so that a
/// probability that underflows to 0 does not make it infinite. `labels`: one per local row, 0 ...
/// c-1. Collective, O(m c). Throws InputError for other labels, m = 0, c < 2 and T not positive.
double log_loss(const dist::RowBlock<double>& F, std::span<const Index> labels, double temperature);

/// The temperature of largest likelihood (Guo, Pleiss, Sun and Weinberger, ICML 2017), from
/// predictions F (n x c) of rows that the predictor has not seen, for instance its leave-one-out
/// predictions of the training rows, and their labels. Rows that are all predicted right would give
/// T = 0. Therefore one more row is counted, all classes being equally likely as its label, and
/// spread over the n rows (Platt 1999 does so with one row a class):
/// t_ij = (n [j = label_i] + 1/c)/(n + 1). The loss
///     (1/n) sum_i [log sum_j exp(b f_ij) - b sum_j t_ij f_ij],   b = 1/T,
/// is convex in b; its minimum over b >= 0 is found by Newton's method inside a bracket, to 1e-12
/// of b. Infinite where no b > 0 is better than b = 0. Collective, about 20 passes of O(n c).
/// Throws InputError as log_loss(), and for predictions that are not finite.
double fit_temperature(const dist::RowBlock<double>& F, std::span<const Index> labels);

}  // namespace mercer::krr
