#pragma once

#include <optional>

#include "mercer/data/dataset.hpp"
#include "mercer/io/hdf5.hpp"

namespace mercer::data {

/// Writes and reads the preparation of a stored result: attributes preparation_... of the root and
/// the vectors /preparation/input_mean, input_deviation, target_mean, target_deviation (where
/// standardised), class_values (where labels are numbers) and csv_targets (positions, of CSV
/// files). Names of classes, inputs and targets are attributes with a line for each name. Throws as
/// Hdf5File and, on reading, InputError for numbers that contradict each other. Collective over the
/// file's communicator.
void write(io::Hdf5File& file, const Preparation& preparation);
Preparation read_preparation(const io::Hdf5File& file);
/// The same; empty where the file holds no part of a preparation, as one of another program.
std::optional<Preparation> find_preparation(const io::Hdf5File& file);

}  // namespace mercer::data
