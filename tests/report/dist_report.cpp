#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/base/instructions.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/report/libraries.hpp"
#include "mercer/report/phases.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/report/progress.hpp"
#include "mercer/report/record.hpp"
#include "support/errors.hpp"
#include "support/folder.hpp"

namespace mercer {
namespace {

namespace fs = std::filesystem;
using test::error;
using Json = nlohmann::ordered_json;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A directory of the test's own, with a quote and a blank in its name, the same on all ranks.
class Report : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return folder / name; }
  /// How many things the directory holds: nothing may be left behind. The same on all ranks.
  int files() const {
    world.barrier();
    int count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(place)) ++count;
    world.barrier();
    return count;
  }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  test::TemporaryFolder folder{"mercer's report"};
  comm::Communicator world = comm::Communicator::world();
  const std::string& place = folder.path();
};

TEST_F(Report, AddsUpPhasesByNameInTheOrderOfTheirStart) {
  report::Phases phases;
  phases.add("load", 1 + world.rank());
  phases.add("solve", 10);
  phases.add("load", 2);
  {
    const auto scope = phases.time("write");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const auto all = phases.summary(world);
  const int P = world.size();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "load");
  EXPECT_DOUBLE_EQ(all[0].min, 3);
  EXPECT_DOUBLE_EQ(all[0].mean, 3 + (P - 1) / 2.0);
  EXPECT_DOUBLE_EQ(all[0].max, 2 + P);
  EXPECT_EQ(all[1].name, "solve");
  EXPECT_DOUBLE_EQ(all[1].mean, 10);
  EXPECT_EQ(all[2].name, "write");
  EXPECT_GE(all[2].min, 0.02);
  EXPECT_LT(all[2].max, 10);
}

TEST_F(Report, CountsAPhaseWithinAnotherOnce) {
  report::Phases phases;
  {
    const auto train = phases.time("train");
    for (int refresh = 0; refresh < 2; ++refresh) {
      const auto assemble = phases.time("assemble");
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
  const auto all = phases.summary(world);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "train");
  EXPECT_GE(all[0].min, 0);
  EXPECT_LT(all[0].max, 0.3);
  EXPECT_EQ(all[1].name, "assemble");
  EXPECT_GE(all[1].min, 0.4);
}

TEST_F(Report, SaysInJsonWhatTheRunWas) {
  report::Record record;
  record.driver = "mercer-test";
  record.command = "mercer-test --data \xff";  // no UTF-8
  record.config["nb"] = "64";
  record.n = 7;
  record.d = 3;
  record.nb = 64;
  record.ranks = world.size();
  record.grid = "1x1";
  record.flops = 4e9;
  record.seconds = 2;
  record.residual = 1e-14;
  record.orthogonality = kNaN;
  record.result["rmse"] = kNaN;
  record.result["k"] = 7;
  report::Phases phases;
  phases.add("load", 0.5);
  const Json json = record.json(phases, world);
  report::write_json(world, file("run.json"), json);
  EXPECT_EQ(files(), 1);
  const Json back = Json::parse(read(file("run.json")));
  for (const auto key : {"driver",     "version", "git",      "command",
                         "config",     "n",       "d",        "ranks",
                         "nodes",      "grid",    "nb",       "threads",
                         "method",     "phases",  "gflops",   "peak_memory_bytes",
                         "bytes_sent", "flops",   "residual", "orthogonality",
                         "result",     "status"})
    EXPECT_TRUE(back.contains(key)) << key;
  EXPECT_EQ(back["n"], 7);
  EXPECT_EQ(back["gflops"], 2.0);
  EXPECT_EQ(back["phases"]["load"]["max"], 0.5);
  EXPECT_EQ(back["residual"], 1e-14);
  EXPECT_TRUE(back["orthogonality"].is_null());
  EXPECT_TRUE(back["result"]["rmse"].is_null());
  EXPECT_TRUE(back["data_hash"].is_null());  // no data
  EXPECT_TRUE(back["libraries"].is_object());
  EXPECT_FALSE(back.contains("seconds_at_write"));
  EXPECT_EQ(back["status"], "ok");
  EXPECT_GT(back["peak_memory_bytes"].get<std::int64_t>(), 1 << 20);
  EXPECT_EQ(world.broadcast(json["peak_memory_bytes"].dump(), 0), json["peak_memory_bytes"].dump());
}

TEST_F(Report, WritesTheRootAttributesOfAResult) {
  report::Record record;
  record.command = "mercer-test --data circle";
  record.ranks = world.size();
  record.grid = "2x3";
  record.nb = 48;
  record.kernel = "ntk dense relu dense";
  record.n = 7;
  record.data_hash = "0123456789abcdef";
  record.seconds_at_write = 1.5;
  record.libraries["mpi"] = "Some MPI 1.2";
  auto out = io::Hdf5File::create(world, file("a.h5"));
  record.write_attributes(out);
  out.finish();
  const auto in = io::Hdf5File::open(world, file("a.h5"));
  EXPECT_EQ(in.text_attribute("/", "mercer_version"), record.version);
  EXPECT_EQ(in.text_attribute("/", "git"), record.git);
  EXPECT_EQ(in.text_attribute("/", "command"), record.command);
  EXPECT_EQ(in.number_attribute("/", "ranks"), world.size());
  EXPECT_EQ(in.text_attribute("/", "grid"), "2x3");
  EXPECT_EQ(in.number_attribute("/", "nb"), 48);
  EXPECT_EQ(in.text_attribute("/", "precision"), "double");
  EXPECT_EQ(in.text_attribute("/", "kernel"), record.kernel);
  EXPECT_EQ(in.number_attribute("/", "n"), 7);
  EXPECT_EQ(in.text_attribute("/", "data_hash"), record.data_hash);
  EXPECT_EQ(in.number_attribute("/", "seconds"), 1.5);
  EXPECT_NE(in.text_attribute("/", "seconds_cover").find("from the start"), std::string::npos);
  EXPECT_EQ(Json::parse(in.text_attribute("/", "libraries"))["mpi"], "Some MPI 1.2");
  const std::string started = in.text_attribute("/", "started");
  EXPECT_EQ(started.size(), 20u) << started;
  EXPECT_EQ(started.substr(0, 2), "20");
}

TEST_F(Report, SaysThatBlasDoesNotKnowAProcessorWithAvx) {
  const bool asked = std::getenv("OPENBLAS_CORETYPE") != nullptr;
  const auto advice =
      report::blas_advice({{"blas", "OpenBLAS 0.3.21"}, {"blas_kernel", "Prescott"}});
  if (asked || widest_instructions() == Instructions::baseline)
    EXPECT_EQ(advice, "");
  else
    EXPECT_NE(advice.find("OPENBLAS_CORETYPE="), std::string::npos) << advice;
  EXPECT_EQ(report::blas_advice({{"blas", "OpenBLAS 0.3.21"}, {"blas_kernel", "Haswell"}}), "");
  EXPECT_EQ(report::blas_advice({{"blas", "BLIS"}, {"blas_kernel", "Prescott"}}), "");
}

TEST_F(Report, KeepsTheOldRecordWhereTheNewOneCannotBeWritten) {
  const Json object{{"a", 1}};
  EXPECT_EQ(error<RunError>([&] { report::write_json(world, file("no/run.json"), object); }),
            file("no/run.json") + ": cannot be written: No such file or directory");
  EXPECT_NE(error<RunError>([&] { report::write_json(world, "/dev/full", object); }), "");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  report::write_json(world, "/dev/null", object);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(files(), 0);
}

TEST_F(Report, TellsBeforeTheWorkWhatCannotBeWritten) {
  report::check_space(world, "--out", file("run.h5"), 1);
  EXPECT_THROW(report::check_space(world, "--out", file("run.h5"), 1e30), InputError);
  report::check_writable(world, report::Content::text, "--json", file("run.json"));
  report::check_writable(world, report::Content::text, "--json", "-");
  report::check_writable(world, report::Content::text, "--json", "/dev/null");
  EXPECT_EQ(files(), 0);
  const auto refusal = [&](const std::string& path) {
    return error<InputError>(
        [&] { report::check_writable(world, report::Content::text, "--out", path); });
  };
  EXPECT_EQ(refusal(place), "--out " + place + ": is a directory: give the name of a file");
  EXPECT_EQ(refusal(file("no/a.h5")),
            "--out " + file("no/a.h5") + ": cannot be written: No such file or directory");
  EXPECT_NE(refusal("/proc/a.h5"), "");
}

report::Series parabola(int n) {
  report::Series s{.label = "it's {x^2}", .x = {}, .y = {}, .style = report::Style::linespoints};
  for (int i = 0; i < n; ++i) {
    s.x.push_back(i);
    s.y.push_back(static_cast<double>(i) * i);
  }
  return s;
}

TEST_F(Report, DrawsPanelsIntoOneSvg) {
  report::require_gnuplot(world);
  auto with_gaps = parabola(20);
  with_gaps.y[3] = kNaN;
  with_gaps.y[4] = -1;  // not on a logarithmic axis
  report::write_picture(world, file("a b.svg"),
                        {{"First panel", "i", "i^2", true, true, {parabola(20), with_gaps}},
                         {"Second panel", "i", "y", false, false, {parabola(5)}}});
  EXPECT_EQ(files(), 1);
  const std::string svg = read(file("a b.svg"));
  EXPECT_NE(svg.find("<svg"), std::string::npos);
  for (const auto text : {"First panel", "Second panel", "it's {x^2}"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
}

TEST_F(Report, DrawsWhatTheSuffixSays) {
  const std::vector<report::Plot> panels{{"First panel", "i", "i^2", true, true, {parabola(20)}},
                                         {"Second panel", "i", "y", false, false, {parabola(5)}}};
  // The formats' own first bytes.
  for (const auto& [name, start] : {std::pair{"a.png", "\x89PNG\r\n\x1a\n"},
                                    {"A.PNG", "\x89PNG"},
                                    {"a.pdf", "%PDF-1."},
                                    {"a.Svg", "<?xml"}}) {
    report::require_gnuplot(world, report::picture_format("--plot", name));
    report::write_picture(world, file(name), panels);
    const std::string picture = read(file(name));
    EXPECT_EQ(picture.substr(0, std::string(start).size()), start) << name;
    EXPECT_GT(picture.size(), 2000u) << name;
  }
  EXPECT_EQ(files(), 4);
}

TEST_F(Report, RefusesNamesThatPromiseAnotherFormat) {
  const auto refusal = [](auto&& call) { return error<InputError>(call); };
  for (const auto name : {"a.jpg", "a.h5", "a", "svg", "a.svg.gz", "a.csv"})
    EXPECT_EQ(refusal([&] { report::picture_format("--plot", name); }),
              std::string("--plot ") + name + ": give a name that ends in .svg, .png or .pdf");
  for (const auto name : {"p.csv", "p", "p.json", "p.h5.gz", "h5"})
    EXPECT_NE(refusal([&] { report::check_name(name, ""); }).find(".h5 or .hdf5"),
              std::string::npos)
        << name;
  for (const auto name : {"r.h5", "r.HDF5", "r.svg", "r.png", "r.csv"})
    EXPECT_NE(refusal([&] { report::check_name("", name); }).find("`json`"), std::string::npos)
        << name;
  report::check_name("a.h5", "r.json");
  report::check_name("a.HDF5", "-");
  report::check_name("/dev/null", "/dev/stdout");
  report::check_name("", "record");
  EXPECT_EQ(report::picture_format("--plot", "/dev/null"), report::PictureFormat::svg);
}

TEST_F(Report, DrawsAPanelWithoutAnyPoint) {
  report::write_picture(world, file("a.svg"), {{"Nothing", "x", "y", true, true, {parabola(1)}}});
  EXPECT_NE(read(file("a.svg")).find("no data"), std::string::npos);
}

TEST_F(Report, LogarithmicAxesShowTheRangeOfTheValuesWithLabels) {
  const auto drawn = [&](std::vector<double> y, double from = 0) {
    report::Plot plot{.title = "A", .x_label = "x", .y_label = "y", .log_y = true, .series = {}};
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (i == 0) plot.series.emplace_back();
      plot.series[0].x.push_back(300 + static_cast<double>(i));
      plot.series[0].y.push_back(y[i]);
    }
    plot.y_from = from;
    report::write_picture(world, file("a.svg"), {plot});
    return read(file("a.svg"));
  };
  const auto has = [](const std::string& svg, const std::string& label) {
    return svg.find("> " + label + "<") != std::string::npos ||
           svg.find(">" + label + "<") != std::string::npos;
  };
  const auto narrow = drawn({0.31, 0.42, 0.57});  // linear
  EXPECT_TRUE(has(narrow, "0.4") && has(narrow, "0.5"));
  EXPECT_FALSE(has(narrow, "1"));
  const auto middle = drawn({0.03, 0.9});  // 1, 2, 5 of a decade
  EXPECT_TRUE(has(middle, "0.05") && has(middle, "0.1") && has(middle, "0.5"));
  EXPECT_FALSE(has(middle, "2"));
  const auto wide = drawn({1e-7, 2.0});  // powers of ten
  EXPECT_NE(wide.find(">-6<"), std::string::npos);
  EXPECT_EQ(wide.find(">-8<"), std::string::npos);
  const auto cut = drawn({1e-30, 1e-4, 2.0}, 1e-5);
  EXPECT_EQ(cut.find(">-6<"), std::string::npos);
}

TEST_F(Report, DrawsCountsOfClassesWithTheirNames) {
  report::Plot counts{.title = "Counts", .x_label = "predicted", .y_label = "true", .series = {}};
  counts.cells = {{12345, 67}, {0, 0}};
  counts.names = {"it's", "b_{1}"};
  const report::Plot curve{"Curve", "x", "y", true, true, {parabola(20)}};
  report::write_picture(world, file("c.svg"), {counts, curve});
  const std::string svg = read(file("c.svg"));
  for (const char* text :
       {"Counts", "predicted", "true", ">12345<", ">67<", ">0<", "it's", "b_{1}", "Curve"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  // As many cells behind a logarithmic panel, whose ranges must not clip them.
  const auto cells = [&](const std::vector<report::Plot>& panels) {
    report::write_picture(world, file("o.svg"), panels);
    const std::string drawn = read(file("o.svg"));
    int count = 0;
    for (auto at = drawn.find("<polygon"); at != std::string::npos;
         at = drawn.find("<polygon", at + 1))
      ++count;
    return count;
  };
  EXPECT_EQ(cells({curve, counts}), cells({counts, curve}));
  counts.cells.assign(60, std::vector<double>(60, 1));
  counts.names.assign(60, "a name that is longer than a tic can be");
  report::write_picture(world, file("d.svg"), {counts});
  EXPECT_EQ(read(file("d.svg")).find("a name that"), std::string::npos);
}

TEST_F(Report, SaysWhyThereIsNoPicture) {
  const auto where = file("no/a.svg");
  const auto text = error<RunError>([&] {
    report::write_picture(world, where, {{"A", "x", "y", false, false, {parabola(3)}}});
  });
  EXPECT_EQ(text, where + ": cannot be written: No such file or directory");
  // gnuplot is found by PATH: take that away.
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  EXPECT_NE(error<InputError>([&] { report::require_gnuplot(world); }).find("gnuplot"),
            std::string::npos);
  const auto draw = [&](std::chrono::seconds limit) {
    return error<RunError>([&] {
      report::write_picture(world, file("a.svg"), {{"A", "x", "y", false, false, {parabola(3)}}},
                            limit);
    });
  };
  EXPECT_EQ(draw(std::chrono::seconds(60)),
            file("a.svg") + ": there is no gnuplot on this machine");
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(files(), 0);
}

TEST_F(Report, AGnuplotThatDoesNotEndIsKilledWithWhatItHasStarted) {
  const std::string path = std::getenv("PATH"), other = file("bin");
  if (world.root()) {
    std::filesystem::create_directory(other);
    std::ofstream(other + "/gnuplot")
        << "#!/bin/sh\nsleep 1000 &\necho $! > \"" << file("pid") << "\"\nwait\n";
    std::filesystem::permissions(other + "/gnuplot", std::filesystem::perms{0755});
  }
  world.barrier();
  setenv("PATH", (other + ":" + path).c_str(), 1);
  const Timer clock;
  const auto text = error<RunError>([&] {
    report::write_picture(world, file("a.svg"), {{"A", "x", "y", false, false, {parabola(3)}}},
                          std::chrono::seconds(2));
  });
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(text, file("a.svg") + ": gnuplot did not end within 2 s");
  EXPECT_LT(clock.seconds(), 60);
  if (world.root()) {
    long pid = 0;
    std::ifstream(file("pid")) >> pid;
    ASSERT_GT(pid, 0);
    const auto there = [&] {  // a dead one that init has not yet collected is not
      std::ifstream status("/proc/" + std::to_string(pid) + "/status");
      for (std::string line; std::getline(status, line);)
        if (line.starts_with("State:")) return line.find('Z') == std::string::npos;
      return false;
    };
    const Timer since;
    while (there() && since.seconds() < 20) ::usleep(1000);
    EXPECT_FALSE(there());
    std::filesystem::remove_all(other);
    std::filesystem::remove(file("pid"));
  }
  world.barrier();
  EXPECT_EQ(files(), 0);
}

/// What `call` prints on standard error, which is a file meanwhile: not a terminal.
template <class F>
std::string standard_error(F&& call) {
  testing::internal::CaptureStderr();
  call();
  return testing::internal::GetCapturedStderr();
}

TEST_F(Report, ShowsProgressAsLinesInALog) {
  const auto text = standard_error([] {
    report::Progress progress("assemble", report::ProgressMode::always, true);
    progress.update(0.25);
    progress.update(0.5);  // too soon for another line
  });
  EXPECT_EQ(text.find("assemble: 25% after "), 0u) << text;
  EXPECT_NE(text.find("starting\n"), std::string::npos) << text;  // how fast is not yet known
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST_F(Report, CountsTheTimeLeftFromWhereTheRunBegan) {
  const auto text = standard_error([] {
    report::Progress progress("assemble", report::ProgressMode::automatic, true);
    progress.update(0.5);  // of an earlier run; nothing is shown in the first 2 s
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    progress.update(0.6);
  });
  // 0.1 took 2.5 s, so that 0.4 take 10 s; from 0 it would seem to be 2 s.
  const auto at = text.find("60% after ");
  ASSERT_NE(at, std::string::npos) << text;
  const auto comma = text.find(", ", at);
  EXPECT_GE(std::stol(text.substr(comma + 2)), 9) << text;
}

TEST_F(Report, IsSilentWhereProgressIsNotWanted) {
  for (const auto& [mode, speaks] : {std::pair{report::ProgressMode::never, true},
                                     {report::ProgressMode::automatic, true},  // not yet 2 s
                                     {report::ProgressMode::always, false}}) {
    const auto text = standard_error([m = mode, s = speaks] {
      report::Progress progress("assemble", m, s);
      progress.update(0.5);
    });
    EXPECT_EQ(text, "");
  }
}

}  // namespace
}  // namespace mercer
