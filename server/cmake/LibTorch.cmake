# Ends in one target, prefscore::torch: the CPU libraries of the pinned PyPI wheel.
# find_package(Torch) is not used: it defines a dummy protobuf target and probes for a CUDA toolkit.

file(GLOB torch_candidates ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
set(PREFSCORE_TORCH_DIR "${torch_candidates}" CACHE PATH "The torch folder of a site-packages that holds the pinned wheel")
if(NOT EXISTS "${PREFSCORE_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No torch wheel at '${PREFSCORE_TORCH_DIR}': run scripts/setup, or set PREFSCORE_TORCH_DIR")
endif()

# The wheel's include/ carries protobuf 3.13 headers in google/, which would shadow the system's: give the compiler
# a view of include/ without them.
set(torch_headers ${PROJECT_BINARY_DIR}/torch_headers)
file(MAKE_DIRECTORY ${torch_headers})
file(GLOB torch_header_entries ${PREFSCORE_TORCH_DIR}/include/*)
foreach(entry ${torch_header_entries})
  get_filename_component(entry_name ${entry} NAME)
  if(NOT entry_name STREQUAL "google")
    file(CREATE_LINK ${entry} ${torch_headers}/${entry_name} SYMBOLIC)
  endif()
endforeach()

add_library(prefscore_torch INTERFACE)
add_library(prefscore::torch ALIAS prefscore_torch)
foreach(name c10 torch_cpu)
  add_library(prefscore_torch_${name} SHARED IMPORTED GLOBAL)
  set_target_properties(prefscore_torch_${name} PROPERTIES IMPORTED_LOCATION ${PREFSCORE_TORCH_DIR}/lib/lib${name}.so)
  target_link_libraries(prefscore_torch INTERFACE prefscore_torch_${name})
endforeach()
target_include_directories(prefscore_torch SYSTEM INTERFACE ${torch_headers})
# CMake puts the libraries' folder into the RPATH of what is built, and takes it out again when that is installed.
target_link_options(prefscore_torch INTERFACE
  -Wl,-rpath-link,${PREFSCORE_TORCH_DIR}/lib:${PREFSCORE_TORCH_DIR}/../nvidia/cu13/lib)
