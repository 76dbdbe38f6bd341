"""The questions that s1 kept by hand, as ids: SHA-256 of the text, first 16 hex digits.

One list served two sources (spec 1.1): problems of NuminaMATH whatever their origin, and rows of
SciEval that are taken before its quotas are filled.
"""

from __future__ import annotations

KEPT = frozenset(
    {
        "00d25f5f50860a58", "055ed0ce4bff7964", "05db23cb63e30490", "07bd325dc05c16b3",
        "09c3e0b974600204", "13a076a5b776e203", "180877a0455cc7c8", "257da80e88db2e69",
        "2c87b628d8217d03", "32e7b37d892b4703", "38615feafb3c4ca1", "3acec5b9acc18fc8",
        "3ae4538ed0962faf", "43f5ae2149327ea0", "4af0fe6aeced98b0", "579250a066d2e300",
        "584e53c2592918ca", "5b2cfe52b1e0bd57", "5be4c41f19dd5944", "5d1b7c17b9dffe83",
        "5f418fa131862b3f", "6271c1fa858ce334", "645ecd00c6b6dbef", "67fb3797b3813dda",
        "688cfb760992f439", "69f60ccfcc6a8eb6", "71ba3a76955649ba", "750cc6ce50e83c6f",
        "76d2625c59630b86", "77e46ff01a300bb7", "799dfd9edb062641", "7cd41803fc059d16",
        "81ac00800f7063af", "8619a2f494ea6e70", "8e0881d434e699ed", "922ebc356b75f95b",
        "9aa0ca52638fd106", "9b98c021d6c92e7f", "a172744a83a09bf8", "a41f966a77f980a1",
        "a52afd6b18d1e132", "a65f20429fd3480b", "a8eda6983192d3d9", "ac2a6daf9c0255fd",
        "ad8aad6a0abfe866", "b0155d4336360610", "b6a08e065970ddcc", "c2d5754e57fe2a30",
        "cd1d969f1416f46d", "cf579fe4ed276aa9", "cf81038573bd446f", "d52d34105e79248b",
        "d5c6dfd79e1ed890", "d6388500d285b217", "dd29a75bae307b5a", "def2570de1c1b28d",
        "e598dbc9f90df1f0", "ebdb555b0de5aa90", "ed0dca7009d34ad9", "ef50d4a1a7e9d546",
        "f9e1c906a4eeb7dc", "fc549d0b6ff2ea3d", "fcbbc59019833c95", "febfffe6cb5a3d55",
    }
)  # fmt: skip
