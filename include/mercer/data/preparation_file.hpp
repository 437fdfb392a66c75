#pragma once

#include "mercer/data/dataset.hpp"
#include "mercer/io/hdf5.hpp"

namespace mercer::data {

/// The preparation in a stored result: attributes preparation_... of the root and the vectors
/// /preparation/input_mean, input_deviation, target_mean, target_deviation (where standardised),
/// class_values (where labels are numbers) and csv_targets (positions). Names of classes, inputs
/// and targets are attributes with a line for each name. Collective over the file's communicator.
/// Throws as Hdf5File.
void write(io::Hdf5File& file, const Preparation& preparation);
Preparation read_preparation(const io::Hdf5File& file);

}  // namespace mercer::data
