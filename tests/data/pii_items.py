"""A seeded test set for personal data: sentences, forms, tables and logs with marked spans, and hard negatives.

items = make_items(seed=1)            # 5,900 items, all text written here, every value drawn

Values follow the documented formats (numbering plan, check digits, postal and address conventions, era dates),
    not the
detector's patterns; frames are what forms, letters, logs and talk look like. Nothing is a real person's.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.data import pii_values as values


class Item(NamedTuple):
    """A text with its personal data: (class, first character, characters)."""

    name: str
    text: str
    spans: tuple[tuple[str, int, int], ...]


# {x} is the value; words in <> are drawn by `_fill`
FRAMES: dict[str, list[str]] = {
    "phone": [
        "電話は{x}です。", "お問い合わせは{x}まで。", "TEL：{x}", "TEL {x}", "Tel. {x}", "電話番号：{x}（平日のみ）",
            "☎{x}", "携帯 {x}", "| 電話 | {x} |", "連絡先（携帯）：{x}", "急ぎの場合は、{x}に電話をください。",
            "母の番号は{x}、父は別です。", "FAX：{x}", "折り返し{x}へお願いします。", "{{\"tel\": \"{x}\"}}",
            "電話番号,{x},<date>", "緊急連絡先　{x}　（<rel>）", "自宅（{x}）に<date>の夜かけた。", "tel:{x}",
            "お電話（{x}）でも承ります", "・電話：{x}\n・定休日：<day>", "<name>です。番号変わりました→{x}",
            "スマホ：{x}\n固定：なし", "電話番号は「{x}」です", "担当直通{x}、受付は<time>から",
            "センター{x}にかけて<num>番を押す。", "電話\n{x}\n", "℡{x}",
    ],
    "email": [
        "メールは{x}までお送りください。", "E-mail: {x}", "連絡先：{x}（<name>）", "<{x}>", "From: <latin> <{x}>",
            "| メール | {x} |", "宛先は{x}。件名に「<noun>」と書く。", "{x}に転送しました",
            "{{\"email\":\"{x}\",\"age\":<num>}}", "お返事は{x}へ。", "アドレス：{x}　", "mailto:{x}",
            "登録メールアドレス「{x}」を確認しました", "<name>,{x},<date>", "私のアドレスは{x}です", "Cc：{x}, 上司",
            "ご意見・ご感想は→{x}", "（メール：{x}）", "メール送信先={x};", "問い合わせ先\n{x}\n",
    ],
    "postal_address": [
        "住所：{x}", "{x}に住んでいます。", "現住所は{x}です。", "送付先　{x}", "| 住所 | {x} |", "本籍：{x}",
            "〈会場〉{x}", "荷物は{x}へ届けてください。", "所在地／{x}", "住所,{x},<date>", "転居先：{x}",
            "実家は{x}にあります。", "\"address\": \"{x}\"", "お届け先\n{x}\n<name> 様方", "{x}（<noun>の隣）",
            "被告の住所 {x}", "去年まで{x}に部屋を借りていた。", "宛先：{x}",
    ],
    "my_number": [
        "個人番号は{x}です。", "マイナンバー：{x}", "番号の欄に{x}と書いてあった。", "| 個人番号 | {x} |",
            "My Number {x}", "マイナンバー（12桁）{x}を登録した", "通知カードの{x}を写して送る。",
            "個人番号（{x}）の提出をお願いします。", "氏名、個人番号{x}、続柄", "個人番号\n{x}", "扶養親族の番号 {x}",
            "{{\"my_number\": \"{x}\"}}",
    ],
    "corporate_number": [
        "法人番号：{x}", "法人番号 {x}", "登録番号：{x}", "インボイス登録番号は{x}です。",
            "適格請求書発行事業者 登録番号 {x}", "| 法人番号 | {x} |", "当社の法人番号は{x}。", "法人番号（13桁）{x}",
    ],
    "bank_account": [
        "<bank>銀行 <branch>支店 普通 {x}", "振込先：<bank>信用金庫　<branch>支店　普通預金　口座番号{x}",
            "口座番号：{x}", "<bank>銀行<branch>支店（普）{x}", "当座 {x} <bank>銀行本店",
            "普通預金口座{x}に振り込んでください。", "| 口座番号 | {x} |",
            "口座種別：普通\n口座番号：{x}\n名義：別紙", "<bank>信金 <branch>支店 店番<three> 普通No.{x}",
            "口座番号は{x}です。", "給与は<bank>銀行の普通口座（{x}）に入る", "（普通）{x}",
            "振込口座 <bank>ネット銀行 <branch>支店 普通口座 {x}", "貯蓄預金：{x}", "口座番号\n{x}\n",
    ],
    "credit_card": [
        "カード番号：{x}", "カードは{x}、有効期限は<num>月です。", "クレジットカード（{x}）で払った。", "card: {x}",
            "| カード | {x} |", "番号は{x}と印字されている", "JCBの{x}を解約する。",
            "決済に使った{x}を止めてください。", "{x}　VISA", "\"card_number\": \"{x}\"",
            "カード番号を読み上げます。{x}です。",
    ],
    "driver_licence": [
        "運転免許証番号：{x}", "免許証の番号は{x}です。", "第{x}号（運転免許証）の写し。免許証番号 第{x}号",
            "| 免許証番号 | {x} |", "運転免許証 {x} を確認", "本人確認書類：運転免許証（{x}）", "免許番号{x}",
            "免許証番号\n{x}",
    ],
    "passport": [
        "パスポート番号：{x}", "旅券番号は{x}です。", "旅券 {x}（<date>まで有効）", "Passport No. {x}",
            "| 旅券番号 | {x} |", "パスポート（{x}）をなくした。", "パスポートの番号、{x}で合っていますか",
            "旅券番号\n{x}", "passport: {x}",
    ],
    "residence_card": [
        "在留カード番号：{x}", "在留カードの番号は{x}です。", "在留カード（{x}）を確認した。", "| 在留カード | {x} |",
            "在留カード等番号 {x}", "特別永住者証明書番号：{x}", "在留カード番号\n{x}",
            "雇用時に在留カード{x}の写しを取る",
    ],
    "ip_address": [
        "接続元IPアドレスは{x}です。", "{x} からのアクセスを遮断した。", "IP: {x}", "サーバー{x}に接続できない。",
            "書き込みは{x}から行われた。", "| {x} | <num>件 |", "ping {x} が通らない",
            "{x} - - [<date>] \"GET / HTTP/1.1\" 200", "ログに{x}が残っていた。", "ホスト（{x}）を再起動",
            "{x}:8080で待ち受ける", "送信元 {x} ポート <num>",
    ],
    "url_token": [
        "https://<host>/reset?token={x}", "パスワードの再設定はhttps://<host>/u?id=<num>&token={x}から。",
            "https://<host>/api?api_key={x}&q=a", "リンク：https://<host>/login?session_id={x}\n有効期限は<date>",
            "[参加する](https://<host>/j?pwd={x})", "<https://<host>/cb#access_token={x}>",
            "https://<host>/f;jsessionid={x}を開く", "\"https://<host>/x?access_token={x}\"",
            "https://<host>/d?X-Amz-Signature={x}", "http://<host>/?PHPSESSID={x}",
            "git clone https://{x}@<host>/r.git",
    ],
    "person_name": [
        "氏名：{x}", "氏名　{x}", "お名前：{x}", "お名前　{x}様", "担当：{x}", "担当者：{x}",
            "担当者名：{x}（<dept>）", "| 氏名 | {x} |", "氏名（漢字）：{x}", "申請者氏名：{x}", "患者名：{x}",
            "保護者氏名 {x}", "責任者：{x}", "担当：<dept> {x}", "作成者：{x}\n作成日：<date>", "ご担当者様：{x}様",
            "氏　名：{x}　　年齢：<num>", "受取人：{x}", "氏名は{x}です。", "代表者：{x}", "記入者 : {x}",
            "【担当】{x}", "契約者：{x}　契約日：<date>", "幹事：{x}", "宛名：{x} 様",
            "{x} 様\n\n拝啓 <season>の候、", "<dept>　{x}様\n\nお世話になっております。", "担当の{x}です。",
            "氏名\n{x}\n", "連絡先：{x}（<rel>）",
    ],
    "birth_date": [
        "生年月日：{x}", "生年月日 {x}", "生年月日は{x}です。", "誕生日：{x}", "| 生年月日 | {x} |",
            "生年月日（西暦）：{x}", "氏名、生年月日（{x}）、住所", "Date of birth: {x}", "生年月日\n{x}",
            "{x}生（満<age>歳）", "生　年　月　日：{x}", "\"birthday\": \"{x}\"",
    ],
}  # fmt: skip

NEGATIVES: dict[str, list[str]] = {
    "price": [
        "価格は{price}円（税込）です。", "¥{price}-", "単価 ¥{price} / {n2} / ¥{price}",
            "予算は{n7}円、実績は{n8}円。", "普通は{n7}円かかる。", "合計 {n10} 円",
    ],
    "date": [
        "会期は{isodate}から{isodate}まで。", "{isodate} {clock}に開始", "{date8}{time6}",
            "令和{n1}年{m}月{d}日（{y}年{m}月{d}日）公布", "{y}/{m}/{d} {clock}",
            "タイムスタンプ{date8}{time4}のファイル", "作成日：{isodate}", "作者は{y18}年{m}月{d}日に生まれた。",
            "{y}.{m}.{d} 更新",
    ],
    "isbn": [
        "ISBN978-4-{n2}-{n6}-{n1}", "ISBN 4-{n2}-{n6}-X", "ISBN{isbn10}", "ISSN {n4}-{n4}",
            "978-4-{n4}-{n4}-{n1}（本体{price}円）",
    ],
    "jan": [
        "JANコード49{n11}", "JAN：45{n11}", "バーコードは49{n11}。",
    ],
    "order": [
        "注文番号：{n12}", "注文番号 {n4}-{n4}-{n4}", "お問い合わせ番号 {n4}-{n4}-{n4}", "伝票番号 {n12}",
            "追跡番号：{n12}", "受付番号0{n9}を控える", "管理番号 09{n9}", "商品コード 0{n9}", "会員番号 {n12}",
            "社員番号{n8}", "送り状No.{n4}-{n4}-{n4}", "予約番号：{n7}", "シリアル番号 {n16}",
    ],
    "patent": [
        "特許第{n7}号", "特願{y}-{n6}", "特開平{m}-{n6}号公報", "登録番号第{n7}号", "実用新案登録第{n7}号",
    ],
    "version": [
        "バージョン {v1}.{v1}.{v1}.{v1} を公開した。", "Ver.{v1}.{v1}.{v1}.{v1}", "v{v1}.{v1}.{v1}.{v1}以降で動く",
            "Chrome/{n3}.0.{n4}.{v2}", "react@18.{v1}.{v1}を入れる", "lodash@4.{v1}.{v1}",
            "ファームウェア{v1}.{v1}.{v1}.{v1}に更新", "node_modules/foo@{v1}.{v1}.{v1}/index.js",
            "DLLのバージョンは{v1}.{v1}.{v1}.{v1}である",
    ],
    "law": [
        "第{n2}条の{n1}第{n1}項", "第{n3}条第{n1}項第{n1}号", "民法第{n3}条",
            "附則第{n1}条（令和{n1}年法律第{n2}号）", "別表第{n1}の{n1}", "第{n4}条から第{n4}条まで",
            "条例第{n2}号 第{n1}章第{n1}節", "第{n2}条第{n1}項ただし書", "平成{n2}年法律第{n3}号第{n1}条の{n1}の{n1}",
            "{n1}の{n1}の{n1}", "令和{n1}年{m}月{d}日法律第{n2}号",
    ],
    "coordinate": [
        "北緯{n2}.{n6}度、東経1{n2}.{n6}度", "35.{n6}, 139.{n6}", "N35.{n6} E139.{n6}", "緯度 035.{n6}",
    ],
    "number": [
        "番号は{bad_my}だった。", "個人番号に似た{bad_my}という数", "カードに似た{bad_card}は使えない。",
            "{bad_card}", "人口{n8}人、世帯数{n7}", "円周率は3.{n16}", "{n20}", "0.{n12}や-0.{n16}も数である",
            "電話帳は{n4}ページ", "{n4} {n4}、{n3} {n3}", "IPは192.168.{v2}.{v2}、10.0.{v2}.{v2}、127.0.0.1",
            "::1とfe80::1に到達",
    ],
    "code": [
        "std::vector<int> v{{{n1}, {n1}}};", "a::b::c", "aa:bb:cc:dd:ee:{n2}", "0x{hex8}{hex8}",
            "{hex8}-{n4}-4{n3}-8{n3}-{hex8}{n4}", "@Override", "git@github.com:{word}/{word}.git",
            "@user@mastodon.example", "@taroさん、会議室@3階", "foo@2x.png", "icon@{n1}x.webp",
            "https://example.jp/?id={n4}&page={n1}", "https://example.jp/?token=YOUR_TOKEN",
            "https://example.jp/?token=<token>", "pip install foo=={v1}.{v1}.{v1}", "arr[{n1}]@a.b", "型番TR{n7}",
            "品番 AB{n8}CD", "file_0{n9}.txt", "#{n6}", "commit {hex8}{hex8}", "IMEI {n15}",
            "取引ID {n4}-{n4}-{n4}-{n4}x", "port {n4}-{n4}", "{n3}-{n4}個入り", "品番0{n3}-{n2}-{n4}A",
            "{n2}.{n1}.{n1}.{n3}版",
    ],
    "section": [
        "{n1}-{n1}-{n1} 概要", "図{n1}-{n1}-{n1}を参照。", "第{n1}-{n1}-{n1}項", "{n1}.{n1}.{n1}.{n1} 用語の定義",
            "表{n1}-{n1} 市区町村の一覧", "さくら市立見本小学校は{n1}-{n1}で勝った", "新宿区の人口は{n6}人",
            "東京都新宿区で会った。", "三丁目の角を曲がる", "一番の理由は市にある", "市の第{n1}次計画（{n1}-{n1}）",
            "京都市は{y}年に", "大阪市中央区の{n2}番目の店", "港区{n2}か所",
    ],
    "label": [
        "担当：営業部", "担当：各班", "担当：全員", "氏名：必須", "氏名：全角{n2}文字以内", "担当者：未定",
            "担当：設計と検査", "名前：データベース", "氏名を記入してください。", "担当部署：総務課",
            "お客様\n\n平素より", "保護者様\n\n日頃より", "皆様\nこんにちは", "生年月日を記入する。",
            "生年月日：（西暦で）", "口座番号を確認する。", "普通の人は{n7}歩も歩かない。", "責任者：各部門長",
            "お名前は？", "名前：{word}", "Name: Visual Studio", "name: ubuntu-latest", "担当：3年1組",
            "フリガナ：必須", "代表者会議：毎月{d}日", "出席：{n2}名 欠席：{n1}名", "記録：なし",
            "作成者：システム管理者", "担当：AIチーム", "氏名・住所・電話番号", "読み：かな", "宛先：全社員",
            "窓口：一階受付", "講師：外部講師", "神様\nどうか", "王様\nと私",
    ],
    "emoji": [
        "😀😃 1️⃣2️⃣3️⃣", "★☆★ 大特価 ★☆★", "●●@●●", "★{n1}★{n2}", "(^_^)/ {n2}点", "→{n2}↓{n2}",
    ],
    "sport": [
        "浦和市2-1大宮市", "結果は3-0、5-4-1の布陣", "{n3}-{n4}は車のナンバーではない", "ナンバー {n2}-{n2}",
            "株価{n4}-{n4}円",
    ],
    "figures_more": [
        "{n4} {n4} {n4}の三つの数の和", "売上は{n7}円、{n8}円、{n9}円と伸びた", "{y}-{n4}年度計画", "0{n2}-{n2}-{n2}",
            "気温{n2}.{n1}、湿度{n2}", "{n13}",
    ],
    "words_more": [
        "担当者会議を開く。", "氏名欄に押印する。", "名前が長い。", "宛先を確かめる。", "責任者を決める：来週まで",
            "電話番号は後で。", "普通の一日 {n7}歩", "当座は{n7}で足りる", "出席：全員", "作成者不明の図",
            "様子を見る", "殿様と家来", "市の番地整理", "三丁目の夕日", "区の木は{n1}種",
    ],
    "place_more": [
        "東京都港区の{n2}階建て", "大阪市の第{n1}区", "県道{n3}号", "国道{n2}号線の{n1}キロ先", "町内会{n1}-{n1}の組",
            "〒のマークを探す", "村の{n2}軒",
    ],
    "mail_more": [
        "@everyone 集合", "foo@bar", "x@1.2", "file@3x.jpg", "#{word}@{word}", "svn@{n3}",
    ],
}  # fmt: skip

# written after the detectors and run once before they helped to mend general faults: no longer unseen
HELD_OUT: dict[str, list[str]] = {
    "phone": [
        "予約専用ダイヤル{x}", "夜間は{x}（守衛室）", "[{x}]", "★{x}★", "下記番号へ。\n  {x}\n",
            "僕の電話{x}だからさ、かけて", "送信元番号 {x} から着信", "{x}｜<dept>",
            "鍵をなくした方は守衛の{x}を鳴らしてください。", "店主より：配達のご相談、{x}、夜八時まで。",
            "<name>の連絡先教えるね {x} だよ", "（予約・変更）{x}［受付］<time>", "会員　電話 {x}　住所 省略",
            "※当日欠席の場合は必ず {x} に一報を入れること", "1) 本部 {x}\n2) 支部 別記", "会場\t駅前ホール\t{x}",
            "もしもし相談室☎️{x}", "通報窓口＝{x}。匿名可。",
    ],
    "email": [
        "ご返信は{x}宛にどうぞ", "ID({x})でログイン", "「{x}」と「代表」の二つ", "送信先：<name><{x}>;", "→ {x} ←",
            "{x}より", "e-mail={x}", "連絡は {x} 。", "見積もりは<latin>（{x}）が送ります",
            "お名前と「{x}」を確認のうえ", "mail {x} / tel なし", "アカウントは{x}、鍵は別便。", "送り先\t{x}\t済",
            "{x}からの招待を承認する", "質問箱→{x}（24時間）", "Reply-To: {x}", "私書は{x} へ、公用は書面で。",
    ],
    "postal_address": [
        "自宅の場所は{x}だ。", "{x}\n<name> 行", "（{x}）", "配達先が{x}になっている", "{x}にて。", "出発地 {x} → 駅",
            "会社の所在地は{x}である。", "引っ越して{x}へ移った。", "当方、{x}に移転いたしました。", "集合：{x}前",
            "名簿\t友人\t{x}\t会員", "被保険者は{x}に居住する。", "{x}\n電話なし", "お土産は{x}まで着払いで送ること",
            "生まれは{x}、育ちは港町。", "空き家（{x}）の草刈り", "（住所）{x}",
    ],
    "my_number": [
        "{x}（個人番号）", "彼の個人番号、{x}を控えた紙を捨てた。", "12桁の番号 {x} を入力してください",
            "マイナンバーカードに{x}とある", "No {x} 個人番号", "番号確認：{x}",
            "税の書類に書く番号は{x}で間違いないか", "番号法に基づく個人番号は、{x}。", "妻のマイナンバーが {x}",
            "個人番号\t{x}\t済", "控え：{x}（マイナンバー）",
    ],
    "corporate_number": [
        "（法人番号{x}）", "法人番号は「{x}」", "会社法人等 法人番号={x}", "当法人（{x}：法人番号）", "法人番号\t{x}",
            "登録番号 {x}", "国税庁に届けた法人番号、{x}です",
    ],
    "bank_account": [
        "振込は<bank>信金<branch>支店の普通{x}へ", "普通　{x}　カ）ミホン", "口座 {x}", "返金先口座番号→{x}",
            "口座番号「{x}」", "預金種目 普通 番号 {x}", "会費は<bank>銀行<branch>支店、普通、{x}、名義は会計まで",
            "<bank>信用組合 <branch> 普通預金 №{x}", "口座番号\t{x}", "入金先は（普）{x} です",
            "家賃の引き落としは普通口座の{x}から", "金融機関：<bank>銀行／種別：当座／番号：{x}",
    ],
    "credit_card": [
        "{x}で決済しました", "登録済みカード {x} を削除", "Card No: {x}", "番号{x}、名義はローマ字",
            "使用カード：{x}（家族カード）", "拾ったカードには{x}とあった", "決済カード\t{x}\t有効",
            "カード（{x}）の利用を停止", "下四桁ではなく全部 {x} が写っている", "旅費は会社のカード{x}から",
    ],
    "driver_licence": [
        "免許証 No.{x}", "運転免許の番号が{x}", "免許の番号「{x}」", "免許証番号={x}", "免許証には{x}と打たれている",
            "身分証：免許（{x}）", "運転免許証番号\t{x}", "普通自動車免許、番号は{x}",
    ],
    "passport": [
        "旅券No.{x}", "パスポート（番号 {x}）", "パスポートは{x}", "渡航者旅券番号={x}", "旅券の番号は「{x}」",
            "パスポート\t{x}", "紛失した旅券：{x}", "passport number is {x}.",
    ],
    "residence_card": [
        "在留カードNo.{x}", "在留資格：技術、在留カード {x}", "カード番号（在留カード）：{x}", "在留カード番号\t{x}",
            "カード（在留）は{x}", "在留カードの表に{x}とある", "在留カード：{x}／有効",
    ],
    "ip_address": [
        "{x}が攻撃元", "アクセス：{x}", "dig @{x} example.jp", "許可リストに {x}/32 を足す", "{x}、ポート22",
            "client={x} status=403", "深夜に{x}から百回も試された", "遮断対象\t{x}\t恒久", "Host {x} unreachable",
            "許可：{x}、拒否：ほか全部", "<date> {x} ログイン失敗", "先方の出口は {x} と聞いた",
    ],
    "url_token": [
        "<https://<host>/i?invite_token={x}>", "https://<host>/p?user=3&secret={x}&x=1", "wss://<host>/s?token={x}",
            "curl 'https://<host>/v1?apikey={x}'", "ログインURL https://<host>/a?auth_token={x}　です",
            "招待はこちら https://<host>/join?invite_token={x}&lang=ja",
            "https://<host>/download?file=3&signature={x}", "[再発行](https://<host>/pw?reset_token={x})を押す",
            "フックは https://<host>/hook?secret={x} に置いた",
    ],
    "person_name": [
        "受講者氏名：{x}", "◆お名前→{x}", "氏名／{x}", "（担当：{x}）", "【氏名】{x}", "当日の司会：{x}",
            "利用者名：{x}様", "担当は{x}です。", "氏名,{x}", "発表者：{x}", "{x}様\n\nこのたびは", "申込者 {x}",
            "出席者\t{x}\t係", "報告：{x}", "氏名 {x} 年齢 34", "申請者：{x}（本人）", "本日の当番は{x}さんです。",
            "指導教員　{x}", "お客様氏名：{x}　様", "氏名＝{x}", "（文責・{x}）", "宛名は「{x}」でお願いします。",
            "{x}様　お世話になります。<bank>です。", "受付担当者：<dept>・{x}",
    ],
    "birth_date": [
        "生年月日／{x}", "【生年月日】{x}", "DOB: {x}", "生年月日＝{x}", "本人の生年月日、{x}", "生年月日→{x}",
            "誕生日が{x}の方", "生年月日\t{x}\t男", "生年月日は、{x}と記載", "誕生日 {x} です",
            "生年月日　　{x}　血液型", "生年月日：（{x}）",
    ],
}  # fmt: skip


def make_items(
    *,
    seed: int = 1,
    positives: int = 300,
    negatives: int = 1700,
    frames: dict[str, list[str]] = FRAMES,
    hard: dict[str, list[str]] = NEGATIVES,
) -> list[Item]:
    """The set: `positives` items a class, then `negatives` without personal data. Same seed, same items."""
    items = []
    for kind in frames:
        for index in range(positives):
            draw = random.Random(f"{seed}/{kind}/{index}")
            frame = frames[kind][index % len(frames[kind])]
            items.append(_positive(f"{kind}-{index}", kind, frame, values.MAKERS[kind], draw))
    lines = [(group, frame) for group, frames_of in hard.items() for frame in frames_of]
    for index in range(negatives):
        draw = random.Random(f"{seed}/negative/{index}")
        group, frame = lines[index % len(lines)]
        text = values.fill_negative(frame, draw)
        items.append(Item(f"{group}-{index}", _around(text, draw)[0], ()))
    return items


_BEFORE = [
    "",
    "",
    "",
    "昨日の会議の記録です。\n",
    "以下のとおりお知らせします。\n\n",
    "雨が上がった。",
    "・",
    "1. ",
    "備考：特になし\n",
    "# 連絡\n\n",
]
_AFTER = [
    "",
    "",
    "",
    "\nよろしくお願いいたします。",
    "\n以上",
    "\n\n次回は来月です。",
    "\n- 資料は別送",
    "\n詳しくは後日。",
]


def _around(text: str, draw: random.Random) -> tuple[str, int]:
    before = draw.choice(_BEFORE)
    if "\n\n" in text and not before.endswith("\n"):
        before = ""
    return before + text + draw.choice(_AFTER), len(before)


def _positive(
    name: str, kind: str, frame: str, maker: Callable[[random.Random, str], str], draw: random.Random
) -> Item:
    value = maker(draw, frame)
    filled = values.fill(frame, draw).replace("{{", "{").replace("}}", "}")
    if frame.endswith("}}") or frame.startswith("{{"):
        filled = filled.replace("{x}}", "{x}}")
    parts = filled.split("{x}")
    text, spans = parts[0], []
    for part in parts[1:]:
        spans.append((kind, len(text), len(value)))
        text += value + part
    whole, shift = _around(text, draw)
    if frame.startswith(("{x} 様", "{x}様　", "<dept>　{x}様")):  # a letter begins here
        whole, shift = text, 0
    return Item(name, whole, tuple((kind, start + shift, length) for kind, start, length in spans))
