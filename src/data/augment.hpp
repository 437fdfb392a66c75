#pragma once

#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// Options::augment, taken apart. Throws InputError. Local.
struct Augmentation {
  bool flip = false;
  ImageShape image{};  ///< zeros where it is the data's
};
Augmentation parse_augmentation(const std::string& text);

/// Appends to the training rows, not yet scaled, their images mirrored left to right: row n + i is
/// the mirror image of row i, with its targets, label and place in the file. Notes it. Throws
/// InputError where the rows are no images, or of width 1; MemoryError where twice the rows exceed
/// `memory_limit` bytes a rank (0: none). Collective. Memory: the rows three times, the old ones
/// and messages among them.
void augment(Dataset& train, const Augmentation& augmentation, double memory_limit);

}  // namespace mercer::data
