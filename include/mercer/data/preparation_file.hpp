#pragma once

#include "mercer/data/dataset.hpp"
#include "mercer/dist/hdf5.hpp"

namespace mercer::data {

/// The preparation in a stored result: attributes preparation_... of the root and the vectors
/// /preparation/input_mean, input_deviation, target_mean, target_deviation (where standardised).
/// Collective over the file's communicator. Throws as Hdf5File.
void write(dist::Hdf5File& file, const Preparation& preparation);
Preparation read_preparation(const dist::Hdf5File& file);

}  // namespace mercer::data
