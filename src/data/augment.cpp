#include "augment.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "read_set.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

/// The rows twice, one set behind the other. Collective.
RowBlock<double> twice(const RowBlock<double>& rows) {
  auto result = comm::together(
      rows.comm(), [&] { return RowBlock<double>(rows.comm(), 2 * rows.rows(), rows.cols()); });
  std::vector<Index> wanted(static_cast<std::size_t>(result.local_rows()));
  for (Index i = 0; i < result.local_rows(); ++i)
    wanted[static_cast<std::size_t>(i)] = (result.first_row() + i) % rows.rows();
  const auto fetched = dist::fetch_rows<double>(rows, wanted);
  std::copy_n(fetched.data(), fetched.size(), result.values().data());
  return result;
}

/// Mirrors an image left to right in place.
void mirror(std::span<double> pixels, const ImageShape& image) {
  const auto C = image.channels;
  for (Index y = 0; y < image.height; ++y) {
    double* line = pixels.data() + y * image.width * C;
    for (Index x = 0; x < image.width / 2; ++x)
      std::swap_ranges(line + x * C, line + (x + 1) * C, line + (image.width - 1 - x) * C);
  }
}

/// The shape of the rows. Throws InputError. Local.
ImageShape shape_of(const Dataset& train, const Augmentation& augmentation) {
  const bool stated = augmentation.image.height > 0;
  if (!stated && !train.image)
    throw InputError(
        "`augment` flip: {} does not say that its rows are images: give their shape, flip:HxWxC",
        train.spec);
  const ImageShape image = stated ? augmentation.image : *train.image;
  const auto text = fmt::format("{}x{}x{}", image.height, image.width, image.channels);
  if (stated && train.image && image != *train.image)
    throw InputError("`augment` flip:{}: the images of {} are {}x{}x{}: leave the shape out", text,
                     train.spec, train.image->height, train.image->width, train.image->channels);
  if (image.height * image.width * image.channels != train.dimension())
    throw InputError("`augment` flip: images of {} have {} numbers, the rows of {} have {}", text,
                     image.height * image.width * image.channels, train.spec, train.dimension());
  if (image.width == 1)
    throw InputError("`augment` flip: images of {} are 1 pixel wide: they have no mirror images",
                     text);
  return image;
}

}  // namespace

Augmentation parse_augmentation(const std::string& text) {
  if (text.empty()) return {};
  Augmentation result{.flip = true};
  const auto refuse = [&] {
    throw InputError("`augment` {}: give flip, or flip:HxWxC with the shape of the images", text);
  };
  if (text == "flip") return result;
  if (!text.starts_with("flip:")) refuse();
  constexpr Index kMost = 1 << 20;
  std::array<Index, 3> numbers{};
  const char* at = text.data() + 5;
  const char* const end = text.data() + text.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto [next, error] = std::from_chars(at, end, numbers[i]);
    const bool last = i + 1 == numbers.size();
    if (error != std::errc() || numbers[i] < 1 || numbers[i] > kMost || (next == end) != last ||
        (!last && *next != 'x'))
      refuse();
    at = next + 1;
  }
  result.image = {numbers[0], numbers[1], numbers[2]};
  return result;
}

void augment(Dataset& train, const Augmentation& augmentation, double memory_limit) {
  if (!augmentation.flip) return;
  const ImageShape image = shape_of(train, augmentation);
  const auto& comm = train.inputs.comm();
  const Index n = train.rows();
  const double bytes =
      bytes_of_rows(2 * n, static_cast<double>(train.dimension() + train.outputs()), comm);
  if (memory_limit > 0 && bytes > memory_limit)
    throw MemoryError("{}: {} rows and their mirror images need {} a rank", train.spec, n,
                      format_bytes(bytes));
  // Labels and places are whole numbers below 2^53.
  const bool labelled = comm.all_reduce(train.labels.empty() ? 0 : 1, comm::Op::max) != 0;
  RowBlock<double> notes(comm, n, 2);
  for (Index i = 0; i < notes.local_rows(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    notes.row(i)[0] = static_cast<double>(train.file_rows[at]);
    notes.row(i)[1] = labelled ? static_cast<double>(train.labels[at]) : -1;
  }
  notes = twice(notes);
  train.file_rows.clear();
  train.labels.clear();
  for (Index i = 0; i < notes.local_rows(); ++i) {
    train.file_rows.push_back(static_cast<Index>(notes.row(i)[0]));
    if (labelled) train.labels.push_back(static_cast<Index>(notes.row(i)[1]));
  }
  train.inputs = twice(train.inputs);
  train.targets = twice(train.targets);
  train.known_rows *= 2;
  for (Index i = 0; i < train.inputs.local_rows(); ++i)
    if (train.inputs.first_row() + i >= n) mirror(train.inputs.row(i), image);
  train.notes.push_back(fmt::format(
      "{} rows, and behind them their mirror images: {} in all. Errors by leave-one-out, gcv and "
      "holdout are then too small, because the mirror image of a row left out stays in",
      n, 2 * n));
}

}  // namespace mercer::data
