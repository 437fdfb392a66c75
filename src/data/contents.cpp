// Broadcasts what rank 0 found at a source.
#include <array>

#include "read_set.hpp"

namespace mercer::data {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// Replaces every rank's values by rank 0's. Collective.
void broadcast(std::vector<Index>& values, const comm::Communicator& comm) {
  auto size = static_cast<Index>(values.size());
  comm.broadcast(std::span<Index>(&size, 1), 0);
  values.resize(at(size));
  comm.broadcast(std::span<Index>(values), 0);
}

}  // namespace

void broadcast(std::vector<std::string>& texts, const comm::Communicator& comm) {
  auto sizes = std::vector<Index>();
  std::string all;
  for (const auto& text : texts) {
    sizes.push_back(static_cast<Index>(text.size()));
    all += text;
  }
  broadcast(sizes, comm);
  all = comm.broadcast(std::move(all), 0);
  texts.clear();
  for (std::size_t begin = 0; Index size : sizes) {
    texts.push_back(all.substr(begin, at(size)));
    begin += at(size);
  }
}

Contents broadcast(Contents contents, const comm::Communicator& comm) {
  std::array<Index, 12> n{contents.rows,        contents.dimension,
                          contents.outputs,     contents.image.height,
                          contents.image.width, contents.image.channels,
                          contents.classes,     contents.everywhere,
                          contents.csv.columns, contents.csv.index_column,
                          contents.libsvm_base, static_cast<Index>(contents.csv.first)};
  comm.broadcast(std::span<Index>(n), 0);
  contents.rows = n[0];
  contents.dimension = n[1];
  contents.outputs = n[2];
  contents.image = {n[3], n[4], n[5]};
  contents.classes = n[6] != 0;
  contents.everywhere = n[7] != 0;
  contents.csv.columns = n[8];
  contents.csv.index_column = n[9];
  contents.libsvm_base = n[10];
  contents.csv.first = static_cast<CsvColumns::First>(n[11]);
  contents.csv.header = comm.broadcast(contents.csv.header, 0);
  contents.csv.index = comm.broadcast(contents.csv.index, 0);
  broadcast(contents.csv.targets, comm);
  for (auto* texts : {&contents.input_names, &contents.target_names, &contents.label_names,
                      &contents.notes, &contents.warnings})
    broadcast(*texts, comm);
  return contents;
}

}  // namespace mercer::data
