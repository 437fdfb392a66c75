#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/data/dataset.hpp"
#include "support/errors.hpp"
#include "support/folder.hpp"

namespace mercer::test {

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The bytes of a value in the given byte order.
template <class T>
std::string bytes_of(T value, bool big_endian = false) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return big_endian ? std::string(bytes.rbegin(), bytes.rend()) : bytes;
}

inline std::string npy_header(const std::string& dictionary, int version = 1) {
  std::string text = dictionary;
  while ((text.size() + (version == 1 ? 11 : 13)) % 64 != 0) text += ' ';
  text += '\n';
  std::string start = "\x93NUMPY";
  start += static_cast<char>(version);
  start += '\0';
  start += version == 1 ? bytes_of(static_cast<std::uint16_t>(text.size()))
                        : bytes_of(static_cast<std::uint32_t>(text.size()));
  return start + text;
}

/// An NPY file whose element at the file's position p is value(p).
template <class T>
std::string npy(const std::string& dtype, const std::string& shape, Index elements,
                const std::function<double(Index)>& value, bool fortran = false, int version = 1) {
  std::string bytes =
      npy_header("{'descr': '" + dtype + "', 'fortran_order': " + (fortran ? "True" : "False") +
                     ", 'shape': " + shape + ", }",
                 version);
  for (Index p = 0; p < elements; ++p) bytes += bytes_of(static_cast<T>(value(p)), dtype[0] == '>');
  return bytes;
}

/// An IDX file of bytes.
inline std::string idx(const std::vector<std::uint32_t>& shape,
                       const std::function<int(Index)>& value) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(shape.size())};
  Index elements = 1;
  for (auto extent : shape) {
    bytes += bytes_of(extent, true);
    elements *= extent;
  }
  for (Index p = 0; p < elements; ++p) bytes += static_cast<char>(value(p));
  return bytes;
}

/// CIFAR records: label(i), then value(i, channel, pixel).
inline std::string cifar(Index images, const std::function<int(Index)>& label,
                         const std::function<int(Index, Index, Index)>& value) {
  std::string bytes;
  for (Index i = 0; i < images; ++i) {
    bytes += static_cast<char>(label(i));
    for (Index c = 0; c < 3; ++c)
      for (Index p = 0; p < 1024; ++p) bytes += static_cast<char>(value(i, c, p));
  }
  return bytes;
}

inline std::string load_error(const std::string& spec, const data::Options& options = {},
                              const std::string& test = "") {
  return input_error([&] { data::load(spec, test, options, comm::Communicator::world()); });
}

/// Counts the local entries compared, so that a test can assert that there were enough.
inline Index expect_rows(const dist::RowBlock<double>& rows,
                         const std::function<double(Index, Index)>& f, double tolerance = 0) {
  Index compared = 0;
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (Index j = 0; j < rows.cols(); ++j, ++compared) {
      const double expected = f(rows.first_row() + i, j);
      const double got = rows.row(i)[static_cast<std::size_t>(j)];
      const bool ok = std::abs(got - expected) <= tolerance;
      EXPECT_TRUE(ok) << "row " << rows.first_row() + i << ", column " << j << ": " << got
                      << ", expected " << expected;
      if (!ok) return -1;
    }
  return rows.comm().all_reduce(compared, comm::Op::sum);
}

/// The folder of real data, "" where it is not known.
inline std::string data_folder() {
  const char* folder = std::getenv("MERCER_DATA_DIR");
  return folder == nullptr ? "" : folder;
}

}  // namespace mercer::test
