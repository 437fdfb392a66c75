#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::data {

/// How a set is cut out and prepared, applied in the order of the members: split, limits, scale,
/// standardize, unit_norm, one_hot.
struct Options {
  std::string split = {};  ///< "MASK.csv[.gz]:S": rows with 1 in column S are the test set; "" none
  Index limit = -1;        ///< the first rows of the training set; -1: all; an error beyond the set
  Index limit_test = -1;   ///< the first rows of the test set; -1: all
  double scale = 1;        ///< inputs times this
  bool standardize = false;
  bool unit_norm = false;
  bool one_hot = false;
  /// CSV's target column: "" the last, "none", a number from 0, or a name of the header.
  std::string csv_target = {};
  std::uint64_t seed = 0;  ///< of synthetic sets
  /// A set without targets is an error. Where cleared, targets are left as they are read: neither
  /// standardised nor one-hot.
  bool targets_required = true;

  /// Throws InputError for limits of 0 or below -1 and for scales that are 0, NaN or infinite.
  /// Local.
  void validate() const;
};

struct ImageShape {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  friend bool operator==(ImageShape, ImageShape) = default;
};

/// x -> (x - mean)/deviation for each column, with the training rows' mean and population
/// deviation; 1 stands for the deviation of a constant column. Vectors are empty where nothing is
/// standardised.
struct Standardization {
  std::vector<double> input_mean, input_deviation;
  std::vector<double> target_mean, target_deviation;
  friend bool operator==(const Standardization&, const Standardization&) = default;
};

/// Rows on the ranks. An image is one row, row by row of the picture, channels last.
struct Dataset {
  dist::RowBlock<double> inputs;   ///< n x d, prepared
  dist::RowBlock<double> targets;  ///< n x c, prepared; c = 0 where there are none
  std::vector<Index> labels;       ///< of the local rows, where targets are classes; else empty
  Index classes = 0;  ///< 1 + the largest label of training and test set; 0: no classes
  std::optional<ImageShape> image;  ///< where the format tells
  std::string spec;                 ///< as given
  /// Of the prepared inputs alone, which the kernel matrix depends on, and of the prepared targets:
  /// the same for every number of ranks, others when a value, the order of the rows or the shape
  /// changes.
  std::uint64_t hash = 0;
  std::uint64_t target_hash = 0;

  Index rows() const { return inputs.rows(); }
  Index dimension() const { return inputs.cols(); }
  Index outputs() const { return targets.cols(); }
};

/// What has to be done to new rows before a model of the training set sees them.
struct Preparation {
  double scale = 1;
  bool unit_norm = false;
  bool one_hot = false;
  Index dimension = 0;  ///< d of the training set
  Index outputs = 0;    ///< c of the training set
  Index classes = 0;
  std::string csv_target;  ///< as in Options
  Standardization standardization;
  friend bool operator==(const Preparation&, const Preparation&) = default;
};

struct Split {
  Dataset train;
  std::optional<Dataset> test;
  Preparation preparation;  ///< with the standardisation of the training rows
};

/// Reads SPEC (see below) and prepares it; with `test_spec` or `options.split` the test set too.
///
///     npy:X.npy[,y.npy]      csv:FILE[.gz]      libsvm:FILE[.gz]      h5:FILE:/x[,/y]
///     idx:IMAGES[.gz][,LABELS[.gz]]             cifar:FILE[.gz]
///     circle:n=512,freq=5[,grid][,amplitude=1]  sphere:n=1000,d=10,degree=3  gaussian:n=1000,d=10
///
/// Without prefix the format is found from the name. Any file but HDF5 may be gzipped. CSV: commas;
/// a first row without any number is the header. libsvm: d is the largest index of the training
/// file, and shorter test rows are padded with zeros. Images are kept channels last.
///
/// Synthetic targets: circle: amplitude sin(freq t) at angle t; sphere: points uniform on the unit
/// sphere in R^d, the zonal harmonic of the given degree about a random direction, of mean square
/// 1; gaussian: x ~ N(0, I), <x, e> with a random direction e. freq and degree are 1 where left
/// out. The test set has other points than the training set of the same spec and seed, and the
/// same target function.
///
/// Collective. Each rank gets its own rows; no rank holds the set (HDF5: beside its rows, its share
/// of the whole dataset where rows are left out). Memory beyond the rows: panels of 8 MiB, three of
/// them on rank 0, and one byte for each row of the file. Files are read once, by rank 0 in panels
/// that it sends on, or, plain NPY, IDX and CIFAR files, by each rank for its own rows; CSV, libsvm
/// and gzipped CIFAR files twice, because their rows are counted first. Reading stops at the limit.
/// Throws InputError on all ranks, with the file and the row, column (both counted from 1; in text
/// files rows are lines) or byte: missing, empty, truncated, corrupt files, wrong magic, text for a
/// number, NaN and infinity, inputs and targets of different length, labels that are no classes,
/// limits beyond the set, misspelt SPECs.
Split load(const std::string& train_spec, const std::string& test_spec, const Options& options,
           const comm::Communicator& comm);

/// One set whose targets, if it has any, are beside the point: for kernels and spectra.
/// Standardises by its own rows; `limit` applies, and of a split the training rows are taken. A
/// second set that must be prepared as the first, with other points where it is synthetic, comes
/// from load() with targets_required = false. Collective; throws as load.
Dataset load_inputs(const std::string& spec, const Options& options,
                    const comm::Communicator& comm);

/// New rows, prepared as a stored model's training set was: of `options` only split (its test
/// rows), limit_test, csv_target (where given), seed and targets_required count. Collective; throws
/// as load, and where the rows have another dimension, other outputs or more classes than the
/// model.
Dataset load_test(const std::string& spec, const Preparation& preparation, const Options& options,
                  const comm::Communicator& comm);

/// Predictions of standardised targets, back in the targets' own units: y = p deviation + mean,
/// column by column; nothing where targets were not standardised. Local.
void to_target_units(const Standardization& standardization, dist::RowBlock<double>& predictions);

/// The hash that load() stores, of rows as they stand: the sum over the rows of a 64-bit mix of the
/// row's position and values. Collective.
std::uint64_t hash_rows(const dist::RowBlock<double>& rows);

}  // namespace mercer::data
